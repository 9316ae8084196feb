/**
 * Prompt look-up against plain decoding where a text is written again with corrections, and the same of node-llama-cpp.
 *
 * Random weights write no sense, so the model is made to edit: a 110M shape whose blocks add nothing to the residual
 * stream (wo and w2 are zero, and cost what others do) and whose head gives each token one successor, so that at
 * temperature 0 it writes a known passage in order. The prompt is that passage with every 16th token exchanged for one
 * that is not in it. So the answer is the prompt, corrected at one token in 16, and proposals fail there. What is timed
 * is 128 tokens after the first, in turns: plain decoding, look-up with 8 proposals at most, and plain decoding of
 * node-llama-cpp, of which all three must write the passage. node-llama-cpp's own look-up is no yardstick: of what it
 * reads at once it lets one proposal stand (3.22.1), and with 8 it is slower than without.
 */

import { rmSync } from "node:fs";
import type { Llama, LlamaContextSequence, Token } from "node-llama-cpp";
import { createRandom } from "../src/corpus/random.ts";
import { generateTokens, type GenerateOptions } from "../src/generate/generate.ts";
import { promptLookup } from "../src/generate/speculation.ts";
import { Decoder } from "../src/model/decoder.ts";
import { openWeights, readModelFiles } from "../src/model/load.ts";
import { presetConfig } from "../src/model/presets.ts";
import type { StoredType } from "../src/model/save.ts";
import type { LlamaWeights } from "../src/model/weights.ts";
import type { Backend, BackendOptions } from "../src/tensor/backend.ts";
import { withPeers, writeRandomModel } from "./llama-cpp.ts";
import { median, rounded, type BenchResult } from "./result.ts";

export function benchLookup(options: BackendOptions): Promise<BenchResult> {
  return withPeers(options, async ({ backend, llama, folder }) => {
    const measured: Measurement[] = [];
    for (const type of types) {
      const config = { ...presetConfig(preset, vocabSize), isTied: false };
      const file = writeRandomModel(backend, folder, { name: preset, config, type, arrange: writePassage });
      measured.push({ type, ways: await compare(backend, llama, file) });
      rmSync(file);
    }
    return {
      rows: measured.flatMap(({ type, ways }) => ways.map((way) => rowOf(type, way, ways))),
      json: {
        preset,
        threads: backend.threads,
        rounds,
        proposals,
        decodedTokens,
        types: measured.map(({ type, ways }) => ({ type, ways: ways.map((way) => numbersOf(way, ways)) })),
      },
    };
  });
}

// --- internal ---

const [preset, vocabSize] = ["stories-110m", 32_000];
const types: readonly StoredType[] = ["f16"];
const [passageTokens, exchanged, proposals, decodedTokens, contextTokens] = [256, 16, 8, 128, 512];
const rounds = 3;
const greedy: GenerateOptions = {
  temperature: 0,
  topK: 0,
  topP: 1,
  next: () => 0,
  stopIds: [],
  maxTokens: decodedTokens + 1,
};

interface Measurement {
  readonly type: StoredType;
  readonly ways: readonly Way[];
}

interface Way {
  readonly name: string;
  readonly write: () => AsyncGenerator<number, unknown, void>;
  /** Of the tokens after the first. */
  readonly seconds: number[];
  /** Share of the tokens that are the passage's. */
  right: number;
}

/** Tokens of the passage are these; before it stands the token whose successor is the first. */
const [before, firstToken] = [999, 1000];
const passage = Array.from({ length: passageTokens }, (_, i) => firstToken + i);

/** @returns what is to be corrected, and the token after which the answer begins. */
function editingPrompt(): number[] {
  const random = createRandom(3);
  const elsewhere = firstToken + passageTokens;
  const draft = passage.map((token, i) =>
    i % exchanged === exchanged - 1 ? elsewhere + random.int(vocabSize - elsewhere) : token,
  );
  return [...draft, before];
}

/** The head's row of each token is the embedding of the token before it. */
function writePassage({ byName, embedding, head }: LlamaWeights): void {
  for (const [name, weight] of Object.entries(byName))
    if (/\.(wo|w2)\.weight$/.test(name)) weight.write(new Float32Array(weight.elements));
  const rows = embedding.readF32();
  const rowElements = rows.length / vocabSize;
  const moved = new Float32Array(rows.length);
  moved.set(rows.subarray(0, rows.length - rowElements), rowElements);
  moved.set(rows.subarray(rows.length - rowElements));
  head.write(moved);
}

async function compare(backend: Backend, llama: Llama, file: string): Promise<Way[]> {
  using weights = openWeights(backend, readModelFiles(file));
  using decoder = new Decoder(backend, weights, { contextTokens, cacheType: "f16" });
  const model = await llama.loadModel({ modelPath: file, gpuLayers: 0 });
  const context = await model.createContext({
    contextSize: contextTokens,
    batchSize: contextTokens,
    threads: backend.threads,
    flashAttention: true,
  });
  try {
    const sequence = context.getSequence();
    const ways = [
      wayOf("plain", () => ours(decoder, greedy)),
      wayOf("look-up", () => ours(decoder, { ...greedy, proposer: promptLookup(proposals) })),
      wayOf("node-llama-cpp", () => theirs(sequence)),
    ];
    // The first round warms up.
    for (const way of ways) await run({ ...way, seconds: [] });
    for (let round = 0; round < rounds; round += 1) for (const way of ways) await run(way);
    return ways;
  } finally {
    await context.dispose();
    await model.dispose();
  }
}

function wayOf(name: string, write: Way["write"]): Way {
  return { name, write, seconds: [], right: 0 };
}

function ours(decoder: Decoder, options: GenerateOptions): AsyncGenerator<number, unknown, void> {
  decoder.truncate(0);
  return generateTokens(decoder, editingPrompt(), options);
}

async function* theirs(sequence: LlamaContextSequence): AsyncGenerator<number, void, void> {
  await sequence.clearHistory();
  const prompt = editingPrompt().map((id) => id as Token);
  yield* sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true });
}

async function run(way: Way): Promise<void> {
  const tokens = way.write();
  const written = [(await tokens.next()).value];
  const start = performance.now();
  while (written.length <= decodedTokens) written.push((await tokens.next()).value);
  way.seconds.push((performance.now() - start) / 1000);
  await tokens.return(undefined);
  way.right = written.filter((token, i) => token === passage[i]).length / written.length;
}

function speedOf({ seconds }: Way): number {
  return decodedTokens / median(seconds);
}

/** How many times as fast look-up is. */
function gainOver(way: Way, ways: readonly Way[]): number {
  return speedOf(ways.find(({ name }) => name === "look-up")!) / speedOf(way);
}

function rowOf(type: StoredType, way: Way, ways: readonly Way[]): [string, string] {
  const gain = way.name === "look-up" ? "" : `, look-up is ${gainOver(way, ways).toFixed(2)}x`;
  return [`${preset} ${type} ${way.name}`, `${speedOf(way).toFixed(0)} tokens/s${gain}`];
}

function numbersOf(way: Way, ways: readonly Way[]): object {
  return {
    name: way.name,
    tokensPerSecond: rounded(speedOf(way)),
    lookupRatio: rounded(gainOver(way, ways)),
    rightTokens: rounded(way.right),
  };
}
