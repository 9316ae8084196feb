/**
 * Tokens that were added to a vocabulary after it was trained, as Hugging Face's files list them. The special ones
 * become control pieces, which no text produces; the others are found in the text.
 *
 * Sources: huggingface/tokenizers `added_vocabulary.rs` (what the flags mean); transformers' `added_tokens.json`,
 * `special_tokens_map.json` and `tokenizer_config.json` (`added_tokens_decoder`).
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { FormatError } from "../errors/errors.ts";
import { isJsonObject, readJsonFile, type JsonObject, type JsonValue } from "./json.ts";
import type { AddedMatch, Piece, PieceType, SentencePieceModel } from "./sentencepiece.ts";

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly isSpecial: boolean;
  readonly match: AddedMatch;
}

/** @returns undefined for what has no text or no id. */
export function addedToken(id: unknown, record: Readonly<Record<string, unknown>>): AddedToken | undefined {
  const { content } = record;
  if (typeof content !== "string" || content === "" || !Number.isInteger(id) || (id as number) < 0)
    return undefined;
  const isSpecial = record["special"] === true;
  const normalized = record["normalized"];
  return {
    id: id as number,
    content,
    isSpecial,
    match: {
      isNormalised: typeof normalized === "boolean" ? normalized : !isSpecial,
      isWord: record["single_word"] === true,
      stripsLeft: record["lstrip"] === true,
      stripsRight: record["rstrip"] === true,
    },
  };
}

/**
 * What the files beside a `tokenizer.model` add to it; where they contradict each other, tokenizer_config.json holds.
 *
 * @throws {FormatError} for files that are not what they should be.
 */
export function readAddedTokens(folder: string): AddedToken[] {
  const tokens = new Map<number, AddedToken>();
  for (const token of [...fromAddedTokensJson(folder), ...fromTokenizerJson(folder), ...fromConfig(folder)])
    tokens.set(token.id, token);
  return [...tokens.values()];
}

/**
 * @param file names it in errors.
 * @throws {FormatError} when an id lies so far behind the pieces that it cannot be one.
 */
export function withAddedTokens(
  model: SentencePieceModel,
  tokens: readonly AddedToken[],
  file: string,
): SentencePieceModel {
  if (tokens.length === 0) return model;
  const most = 2 * model.pieces.length + 1024;
  const pieces: Piece[] = [...model.pieces];
  for (const { id, content, isSpecial, match } of tokens) {
    if (id > most) {
      throw new FormatError(
        `the added token ${JSON.stringify(content)} has the id ${id}, and the tokenizer ${model.pieces.length} pieces`,
        { file, mend: "Take the tokenizer's files from one model." },
      );
    }
    const own = pieces[id];
    if (own?.type === "unknown" || own?.type === "byte") continue;
    const score = own?.score ?? 0;
    if (isSpecial) pieces[id] = { piece: content, score, type: "control" };
    else pieces[id] = { piece: content, score, type: typeInText(own, content), added: match };
  }
  for (let id = 0; id < pieces.length; id += 1) pieces[id] ??= unusedPiece(id);
  return { ...model, pieces, trainer: { ...model.trainer, vocabSize: pieces.length } };
}

/** A row of the model that has no piece. */
export function unusedPiece(id: number): Piece {
  return { piece: `[PAD${id}]`, score: 0, type: "unused" };
}

// --- internal ---

/** A piece of the vocabulary that is added as well is still merged. */
function typeInText(own: Piece | undefined, content: string): PieceType {
  return own?.type === "normal" && own.piece === content ? "normal" : "user_defined";
}

/** `{"<pad>": 32000}`; which of them are special is said elsewhere. */
function fromAddedTokensJson(folder: string): AddedToken[] {
  const file = join(folder, "added_tokens.json");
  const special = specialTexts(folder);
  return Object.entries(objectIn(file)).map(([content, id]) =>
    tokenOf(id, { content, special: special.has(content), normalized: false }, file),
  );
}

function fromTokenizerJson(folder: string): AddedToken[] {
  const file = join(folder, "tokenizer.json");
  const list = objectIn(file)["added_tokens"] ?? [];
  if (!Array.isArray(list)) throw new FormatError('"added_tokens" is not a list', { file });
  return (list as readonly JsonValue[]).map((record) => {
    if (!isJsonObject(record)) throw new FormatError("an added token is not an object", { file });
    return tokenOf(record["id"], record, file);
  });
}

function fromConfig(folder: string): AddedToken[] {
  const file = join(folder, "tokenizer_config.json");
  const decoder = objectIn(file)["added_tokens_decoder"] ?? {};
  if (!isJsonObject(decoder)) throw new FormatError('"added_tokens_decoder" is not an object', { file });
  return Object.entries(decoder).map(([id, record]) => {
    if (!isJsonObject(record)) throw new FormatError("an added token is not an object", { file });
    return tokenOf(Number(id), record, file);
  });
}

function tokenOf(id: unknown, record: Readonly<Record<string, unknown>>, file: string): AddedToken {
  const token = addedToken(id, record);
  if (token === undefined) throw new FormatError("an added token has no text or no id", { file });
  return token;
}

/** Of special_tokens_map.json: texts, objects with texts, and lists of either. */
function specialTexts(folder: string): Set<string> {
  const values = Object.values(objectIn(join(folder, "special_tokens_map.json"))).flat();
  const texts = values.map((value) => (isJsonObject(value) ? value["content"] : value));
  return new Set(texts.filter((text) => typeof text === "string"));
}

function objectIn(file: string): JsonObject {
  if (!existsSync(file)) return {};
  const json = readJsonFile(file);
  if (isJsonObject(json)) return json;
  throw new FormatError("is not a JSON object", { file });
}
