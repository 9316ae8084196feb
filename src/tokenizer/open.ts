/**
 * The tokenizer of a model, wherever it keeps it: a Hugging Face folder or a checkpoint, a GGUF file, a SentencePiece
 * model, a tokenizer.json, or llama2.c's files.
 */

import { existsSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { ConfigError, FormatError } from "../errors/errors.ts";
import { readAddedTokens, withAddedTokens } from "../formats/added-tokens.ts";
import type { ByteSource } from "../formats/bytes.ts";
import { openFile } from "../formats/file-source.ts";
import { readGguf } from "../formats/gguf.ts";
import { readLlama2c, readLlama2cTokenizer } from "../formats/llama2c.ts";
import { modelPath } from "../formats/model-cache.ts";
import { readSentencePiece } from "../formats/sentencepiece.ts";
import { readTokenizerJson } from "../formats/tokenizer-json.ts";
import { tokenizerFromGguf, tokenizerFromLlama2c } from "./load.ts";
import { createTokenizer, withRows, type Tokenizer } from "./tokenizer.ts";
import { fileKind } from "../formats/file-kind.ts";

/**
 * @param named a tokenizer's file, or a model's file or folder, or a fetched model's name on the Hub.
 * @throws {ConfigError} when there is none. @throws {FormatError} for bytes that are not what they should be.
 */
export function openTokenizer(named: string): Tokenizer {
  const path = modelPath(named);
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return tokenizerIn(path);
  using source = openFile(path);
  const kind = fileKind(source);
  switch (kind) {
    case "gguf":
      return tokenizerFromGguf(readGguf(source).metadata);
    case "sentencepiece":
      return createTokenizer(readSentencePiece(source.name, wholeFile(source)));
    case "tokenizer-json":
      return createTokenizer(readTokenizerJson(source.name, new TextDecoder().decode(wholeFile(source))));
    case "llama2c-tokenizer":
      return tokenizerFromLlama2c(readLlama2cTokenizer(source, countLlama2cPieces(source)));
    case "llama2c":
      return tokenizerBeside(source);
    case "safetensors":
    case "torch":
      return tokenizerIn(dirname(path));
    case "json":
    case "unknown":
      throw new ConfigError(`${path} is not a tokenizer, nor a model that has one`, {
        mend: "Give a tokenizer.model, a tokenizer.json, a .gguf file, a model's folder, or llama2.c's tokenizer.bin.",
      });
  }
}

/**
 * The tokenizer of a model: the one that is named, or the one that lies in or beside it.
 *
 * @throws {ConfigError} when there is none, or it has more pieces than the model has rows for.
 */
export function tokenizerOfModel(model: string, vocabSize: number, named?: string): Tokenizer {
  const tokenizer = openTokenizer(named ?? model);
  // Models pad their vocabulary; a tokenizer that is larger than the model's belongs to another.
  if (tokenizer.vocabSize <= vocabSize) return withRows(tokenizer, vocabSize);
  throw new ConfigError(
    `the tokenizer of ${named ?? model} has ${tokenizer.vocabSize} pieces, the model ${vocabSize}`,
    {
      mend: "Give the model's own tokenizer with --tokenizer.",
    },
  );
}

/** @throws {FormatError} unless the pieces fill the file exactly. */
export function countLlama2cPieces(source: ByteSource): number {
  const bytes = wholeFile(source);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let pieces = 0;
  let at = 4;
  while (at + 8 <= bytes.length) {
    const length = view.getInt32(at + 4, true);
    if (length < 0 || at + 8 + length > bytes.length) break;
    at += 8 + length;
    pieces += 1;
  }
  if (at !== bytes.length || pieces === 0) {
    throw new FormatError(`piece ${pieces} is not whole`, {
      file: source.name,
      offset: at,
      mend: "This is not a llama2.c tokenizer, or its download was cut short.",
    });
  }
  return pieces;
}

/** A tokenizer has megabytes; what is larger is refused before it is read. */
export function wholeFile(source: ByteSource): Uint8Array {
  if (source.size > MAX_TOKENIZER_BYTES) {
    throw new ConfigError(`${source.name} has ${source.size} bytes, which is no tokenizer`, {
      mend: "Give the tokenizer.model that came with the model.",
    });
  }
  return source.read(0, source.size);
}

// --- internal ---

const MAX_TOKENIZER_BYTES = 256 * 2 ** 20;

function tokenizerIn(folder: string): Tokenizer {
  // Meta's downloads keep one tokenizer beside the folders of all sizes.
  const beside = existsSync(join(folder, "params.json")) ? [join("..", "tokenizer.model")] : [];
  const names = ["tokenizer.model", "tokenizer.json", ...beside];
  const file = names.map((name) => join(folder, name)).find(existsSync);
  if (file !== undefined) {
    const tokenizer = openTokenizer(file);
    const added = readAddedTokens(folder);
    return added.length === 0 ? tokenizer : createTokenizer(withAddedTokens(tokenizer.model, added, folder));
  }
  throw new ConfigError(`${folder} holds no tokenizer.model`, {
    mend: "Copy the tokenizer.model that belongs to the model into it.",
  });
}

/** llama2.c's models name no tokenizer: it is the one of the right size that lies beside them. */
function tokenizerBeside(model: ByteSource): Tokenizer {
  const { vocabSize } = readLlama2c(model).config;
  const names = ["tokenizer", `tok${vocabSize}`].flatMap((name) => [`${name}.model`, `${name}.bin`]);
  for (const file of names.map((name) => join(dirname(model.name), name)).filter(existsSync)) {
    const tokenizer = openTokenizer(file);
    if (tokenizer.vocabSize === vocabSize) return tokenizer;
  }
  throw new ConfigError(
    `${basename(model.name)} has ${vocabSize} token ids, and no such tokenizer lies beside it`,
    {
      mend: `Copy its tokenizer beside it, as one of ${names.join(", ")}.`,
    },
  );
}
