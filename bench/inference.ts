/**
 * Prefill and decoding against llama.cpp, through node-llama-cpp, on the same GGUF file: random weights, the same
 * threads, flash attention, keys and values of f16, contexts and batches on both sides, in turns in one process.
 *
 * Both sides are timed at the same place, where a program would take their tokens: prefill is the time until the
 * first token comes out of the generator for a prompt of 512 tokens, decoding the time of the 64 tokens after it, at
 * temperature 0. That is `generateTokens` here, and `LlamaContextSequence.evaluate` there, the lowest level of
 * node-llama-cpp's public interface that yields tokens: it decodes and samples natively, without chat, text or grammar.
 */

import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getLlama, LlamaLogLevel, type Llama, type Token } from "node-llama-cpp";
import { createRandom } from "../src/corpus/random.ts";
import { generateTokens } from "../src/generate/generate.ts";
import { Decoder } from "../src/model/decoder.ts";
import { ggufTokenizerValues } from "../src/model/gguf-tokenizer.ts";
import { initialise } from "../src/model/initialise.ts";
import { openWeights, readModelFiles } from "../src/model/load.ts";
import { presetConfig } from "../src/model/presets.ts";
import { writeGgufModel, type StoredType } from "../src/model/save.ts";
import { createWeights } from "../src/model/weights.ts";
import { openBackend, type Backend, type BackendOptions } from "../src/tensor/backend.ts";
import { createTokenizer } from "../src/tokenizer/tokenizer.ts";
import { trainTokenizer } from "../src/tokenizer/train.ts";
import { median, rounded, type BenchResult } from "./result.ts";

export async function benchInference(options: BackendOptions): Promise<BenchResult> {
  using backend = openBackend(options);
  const llama = await getLlama({
    // The installed prebuilt binding or nothing: no download, no compiler.
    build: "never",
    skipDownload: true,
    gpu: false,
    maxThreads: backend.threads,
    logLevel: LlamaLogLevel.error,
  });
  const folder = mkdtempSync(join(tmpdir(), "cria-bench-"));
  const measured: Comparison[] = [];
  try {
    for (const model of models) {
      const written = writeModel(backend, folder, model);
      measured.push({ ...written, ...(await compare(backend, llama, written.file)) });
      rmSync(written.file);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
    await llama.dispose();
  }
  return {
    rows: measured.flatMap(rowsOf),
    json: { threads: backend.threads, rounds, models: measured.map(numbersOf) },
  };
}

// --- internal ---

const [promptTokens, decodedTokens, contextTokens] = [512, 64, 1024];
const rounds = 5;

interface BenchModel {
  readonly preset: string;
  readonly vocabSize: number;
  readonly type: StoredType;
}

const types: readonly StoredType[] = ["f32", "f16", "bf16"];
const models: readonly BenchModel[] = types.flatMap((type) => [
  { preset: "stories-110m", vocabSize: 32_000, type },
  { preset: "small", vocabSize: 4096, type },
]);

interface ModelFile {
  readonly preset: string;
  readonly type: StoredType;
  readonly file: string;
  readonly fileBytes: number;
}

/** Medians in tokens a second, and of the rounds' ratios, ours over theirs. */
interface Speeds {
  readonly ours: number;
  readonly theirs: number;
  readonly ratio: number;
}

interface Comparison extends ModelFile {
  readonly prefill: Speeds;
  readonly decode: Speeds;
}

interface Timing {
  readonly prefillSeconds: number;
  readonly decodeSeconds: number;
}

/** Reads a prompt and generates, from an empty context. */
type Generate = (prompt: Int32Array) => Promise<Timing>;

/** The caller removes the file. */
function writeModel(backend: Backend, folder: string, { preset, vocabSize, type }: BenchModel): ModelFile {
  // Few pieces, padded to the vocabulary: neither side reads text here, but llama.cpp wants a tokenizer.
  const tokenizer = createTokenizer(trainTokenizer(["a llama and its cria"], { vocabSize: 270 }));
  const file = join(folder, `${preset}-${type}.gguf`);
  using weights = createWeights(backend, presetConfig(preset, vocabSize));
  const random = createRandom(1);
  initialise(weights, () => random.next());
  writeGgufModel(file, weights, ggufTokenizerValues(tokenizer, vocabSize), type);
  return { preset, type, file, fileBytes: statSync(file).size };
}

async function compare(
  backend: Backend,
  llama: Llama,
  file: string,
): Promise<{ prefill: Speeds; decode: Speeds }> {
  using weights = openWeights(backend, readModelFiles(file));
  using decoder = new Decoder(backend, weights, { contextTokens, cacheType: "f16" });
  const model = await llama.loadModel({ modelPath: file, gpuLayers: 0 });
  const context = await model.createContext({
    contextSize: contextTokens,
    batchSize: promptTokens,
    threads: backend.threads,
    flashAttention: true,
  });
  try {
    const sequence = context.getSequence();
    const ours: Generate = async (prompt) => {
      decoder.truncate(0);
      const options = { temperature: 0, topK: 0, topP: 1, next: () => 0, stopIds: [] };
      return timed(generateTokens(decoder, prompt, { ...options, maxTokens: decodedTokens + 1 }));
    };
    const theirs: Generate = async (prompt) => {
      await sequence.clearHistory();
      const tokens = Array.from(prompt, (id) => id as Token);
      return timed(sequence.evaluate(tokens, { temperature: 0, yieldEogToken: true }));
    };
    return await alternate(weights.config.vocabSize, ours, theirs);
  } finally {
    await context.dispose();
    await model.dispose();
  }
}

async function alternate(
  vocabSize: number,
  ours: Generate,
  theirs: Generate,
): Promise<{ prefill: Speeds; decode: Speeds }> {
  const random = createRandom(2);
  const timings: [ours: Timing, theirs: Timing][] = [];
  for (let round = 0; round <= rounds; round += 1) {
    const prompt = Int32Array.from({ length: promptTokens }, () => random.int(vocabSize));
    // Who goes first changes: what comes second finds the processor warm, and hot.
    const first = await (round % 2 === 0 ? ours : theirs)(prompt);
    const second = await (round % 2 === 0 ? theirs : ours)(prompt);
    // The first round warms up.
    if (round > 0) timings.push(round % 2 === 0 ? [first, second] : [second, first]);
  }
  const speeds = (tokens: number, part: keyof Timing): Speeds => ({
    ours: median(timings.map(([timing]) => tokens / timing[part])),
    theirs: median(timings.map(([, timing]) => tokens / timing[part])),
    ratio: median(timings.map(([ours, theirs]) => theirs[part] / ours[part])),
  });
  return {
    prefill: speeds(promptTokens, "prefillSeconds"),
    decode: speeds(decodedTokens, "decodeSeconds"),
  };
}

async function timed(tokens: AsyncGenerator<number, unknown, void>): Promise<Timing> {
  const start = performance.now();
  await tokens.next();
  const first = performance.now();
  for (let i = 0; i < decodedTokens; i += 1) await tokens.next();
  const last = performance.now();
  await tokens.return(undefined);
  return { prefillSeconds: (first - start) / 1000, decodeSeconds: (last - first) / 1000 };
}

function rowsOf({ preset, type, prefill, decode }: Comparison): [string, string][] {
  return [
    [`${preset} ${type} prefill`, speedsText(prefill)],
    [`${preset} ${type} decode`, speedsText(decode)],
  ];
}

function speedsText({ ours, theirs, ratio }: Speeds): string {
  return `${ours.toFixed(0)} tokens/s, node-llama-cpp ${theirs.toFixed(0)}, ratio ${ratio.toFixed(2)}`;
}

function numbersOf({ preset, type, fileBytes, prefill, decode }: Comparison): object {
  return { preset, type, fileBytes, prefill: speedsNumbers(prefill), decode: speedsNumbers(decode) };
}

function speedsNumbers({ ours, theirs, ratio }: Speeds): object {
  return {
    criaTokensPerSecond: rounded(ours),
    nodeLlamaCppTokensPerSecond: rounded(theirs),
    ratio: rounded(ratio),
  };
}
