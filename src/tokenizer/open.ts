/** Finds the tokenizer that belongs to a path: a tokenizer's file, or a model's. */

import { existsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { ConfigError } from "../errors/errors.ts";
import { openFile } from "../formats/file-source.ts";
import { readGguf } from "../formats/gguf.ts";
import { readLlama2cTokenizer } from "../formats/llama2c.ts";
import { readSentencePiece } from "../formats/sentencepiece.ts";
import { tokenizerFromGguf, tokenizerFromLlama2c } from "./load.ts";
import { createTokenizer, type Tokenizer } from "./tokenizer.ts";

/**
 * @param path a `.model` (SentencePiece), a `.gguf`, a llama2.c tokenizer `.bin`, or a Hugging Face directory.
 * @param vocabSize pieces of a llama2.c tokenizer, when the model says; its file does not.
 * @throws {ConfigError} when there is no tokenizer. @throws {FormatError} when its file is damaged.
 */
export function openTokenizer(path: string, vocabSize?: number): Tokenizer {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat?.isDirectory() === true) return openInDirectory(path);
  using source = openFile(path);
  if (path.endsWith(".gguf")) return tokenizerFromGguf(readGguf(source).metadata);
  if (path.endsWith(".bin")) {
    return tokenizerFromLlama2c(
      readLlama2cTokenizer(source, vocabSize ?? countPieces(source.read(0, source.size))),
    );
  }
  return createTokenizer(readSentencePiece(path, source.read(0, source.size)));
}

/**
 * The tokenizer of a model: the one that is named, or the one that lies in or beside it.
 *
 * @throws {ConfigError} when there is none, or it has another vocabulary than the model.
 */
export function tokenizerOfModel(model: string, vocabSize: number, named?: string): Tokenizer {
  const path = named ?? besideModel(model);
  const tokenizer = openTokenizer(path, vocabSize);
  // Models pad their vocabulary; a tokenizer with more pieces than the model has rows belongs to another.
  if (tokenizer.vocabSize <= vocabSize) return tokenizer;
  throw new ConfigError(`the tokenizer ${path} has ${tokenizer.vocabSize} pieces, the model ${vocabSize}`, {
    mend: "Give the model's own tokenizer with --tokenizer.",
  });
}

// --- internal ---

function openInDirectory(path: string): Tokenizer {
  const file = join(path, "tokenizer.model");
  if (existsSync(file)) return openTokenizer(file);
  throw new ConfigError(`there is no tokenizer.model in ${path}`, {
    mend: "Give the tokenizer's file with --tokenizer.",
  });
}

function besideModel(model: string): string {
  if (!model.endsWith(".bin")) return model;
  const file = join(dirname(model), "tokenizer.bin");
  if (existsSync(file)) return file;
  throw new ConfigError(`${model} holds no tokenizer, and no tokenizer.bin lies beside it`, {
    mend: "Give the tokenizer's file with --tokenizer.",
  });
}

/** How many pieces a llama2.c tokenizer has: one after another until its end. */
function countPieces(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let count = 0;
  for (let at = 4; at + 8 <= bytes.byteLength; at += 8 + Math.max(0, view.getInt32(at + 4, true))) count += 1;
  return count;
}
