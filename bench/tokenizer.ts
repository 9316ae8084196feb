/** How fast the tokenizer trains and encodes, on the State of the Union addresses if they are in the cache. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { defaultCache } from "../src/corpus/npm-package.ts";
import { createTokenizer } from "../src/tokenizer/tokenizer.ts";
import { trainTokenizer } from "../src/tokenizer/train.ts";

const speeches = join(defaultCache(), "npm", "@stdlib+datasets-sotu@0.2.3");
const fable = fileURLToPath(new URL("../tests/fixtures/tokenizer/fable.txt", import.meta.url));

export async function benchTokenizer(): Promise<{ rows: [string, string][]; json: object }> {
  const { name, text, vocabSize } = existsSync(speeches) ? speechText() : inventedText();
  const megabytes = Buffer.byteLength(text) / 1e6;
  const trainSeconds = fastest(3, () => trainTokenizer([text], { vocabSize }));
  const tokenizer = createTokenizer(trainTokenizer([text], { vocabSize }));
  const createMs = 1000 * fastest(3, () => createTokenizer(tokenizer.model));
  const ids = tokenizer.encode(text);
  const encodeSeconds = fastest(5, () => tokenizer.encode(text));
  const decodeSeconds = fastest(5, () => tokenizer.decode(ids));
  const json = {
    text: name,
    megabytes,
    vocabSize,
    trainSeconds,
    createMs,
    encodeMegabytesPerSecond: megabytes / encodeSeconds,
    decodeMegabytesPerSecond: megabytes / decodeSeconds,
    bytesPerToken: (megabytes * 1e6) / ids.length,
  };
  const rows: [string, string][] = [
    ["text", `${name}, ${megabytes.toFixed(1)} MB`],
    [`train ${vocabSize} pieces`, `${trainSeconds.toFixed(2)} s`],
    ["open", `${createMs.toFixed(1)} ms`],
    ["encode", `${json.encodeMegabytesPerSecond.toFixed(1)} MB/s`],
    ["decode", `${json.decodeMegabytesPerSecond.toFixed(1)} MB/s`],
    ["bytes per token", json.bytesPerToken.toFixed(2)],
  ];
  return { rows, json };
}

// --- internal ---

interface BenchText {
  readonly name: string;
  readonly text: string;
  readonly vocabSize: number;
}

function speechText(): BenchText {
  const files = readdirSync(speeches, { recursive: true, encoding: "utf8" }).filter((file) =>
    file.endsWith(".txt"),
  );
  const text = files.map((file) => readFileSync(join(speeches, file), "utf8")).join("\n");
  return { name: "State of the Union addresses", text, vocabSize: 4096 };
}

/** Sentences of the tests' fable in a random order: real words, but few of them. */
function inventedText(): BenchText {
  const sentences = readFileSync(fable, "utf8").split("\n");
  let state = 1;
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  const text = Array.from({ length: 40_000 }, () => sentences[Math.floor(next() * sentences.length)]).join(
    "\n",
  );
  return { name: "shuffled sentences", text, vocabSize: 480 };
}

function fastest(times: number, run: () => unknown): number {
  let best = Infinity;
  for (let i = 0; i < times; i += 1) {
    const start = performance.now();
    run();
    best = Math.min(best, (performance.now() - start) / 1000);
  }
  return best;
}
