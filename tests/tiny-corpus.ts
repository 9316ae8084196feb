import { join } from "node:path";
import { createRandom } from "../src/corpus/random.ts";
import { openShards, writeShards, type TokenShards } from "../src/corpus/shards.ts";
import type { Document } from "../src/corpus/document.ts";
import type { Tokenizer } from "../src/tokenizer/tokenizer.ts";

const subjects = ["the whale", "a sailor", "the old captain", "the sea", "a grey gull", "the harpooner"];
const verbs = ["sees", "follows", "fears", "remembers", "calls", "forgets"];
const objects = ["the ship", "a storm", "the coast", "his brother", "the north wind", "a distant light"];

/** Sentences of a small grammar: a text that a tiny model learns something of, different for each seed. */
export function tinyText(sentences: number, seed: number): string {
  const random = createRandom(seed);
  const one = (words: readonly string[]): string => words[random.int(words.length)]!;
  return Array.from({ length: sentences }, (_, i) => {
    const end = (i + 1) % 8 === 0 ? ".\n" : ". ";
    return `${one(subjects)} ${one(verbs)} ${one(objects)} ${random.int(1000)} times${end}`;
  }).join("");
}

export function tinyDocuments(count: number, sentences = 20): Document[] {
  return Array.from({ length: count }, (_, i) => ({ text: tinyText(sentences, i + 1), id: `tiny ${i + 1}` }));
}

export interface TinyShards extends Disposable {
  readonly train: TokenShards;
  readonly validation: TokenShards;
}

/** Writes and opens shards of a few thousand tokens; the caller disposes them. */
export async function tinyShards(folder: string, tokenizer: Tokenizer): Promise<TinyShards> {
  const data = join(folder, "data");
  await writeShards(data, "train", tinyDocuments(6), tokenizer);
  await writeShards(data, "validation", [{ text: tinyText(10, 99), id: "held out" }], tokenizer);
  const train = openShards(data, "train");
  const validation = openShards(data, "validation");
  return {
    train,
    validation,
    [Symbol.dispose]() {
      validation[Symbol.dispose]();
      train[Symbol.dispose]();
    },
  };
}
