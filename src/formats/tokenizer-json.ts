/**
 * Hugging Face's `tokenizer.json` and `tokenizer_config.json` for tokenizers of Llama's kind: BPE with byte
 * fallback, a space in front, spaces as U+2581.
 *
 * Such a file lists merges where SentencePiece gives each piece a score. Written, a piece's merges are all
 * the ways to cut it in two pieces, at the place its score gives it; read, a piece's score is the place of
 * its first merge. Source: huggingface/transformers `convert_slow_tokenizer.py` (SentencePieceExtractor,
 * LlamaConverter) and the Rust library's serialisation.
 */
import { ConfigError, FormatError } from "../errors/errors.ts";
import { addedToken, unusedPiece, withAddedTokens, type AddedToken } from "./added-tokens.ts";
import {
  defaultNormalizer,
  defaultTrainer,
  type AddedMatch,
  type Piece,
  type PieceType,
  type SentencePieceModel,
} from "./sentencepiece.ts";

/** What `tokenizerConfigJson` needs to know of a tokenizer. -1 stands for none. */
export interface SpecialTokens {
  readonly model: SentencePieceModel;
  readonly unkId: number;
  readonly bosId: number;
  readonly eosId: number;
  readonly padId: number;
}

/**
 * @returns the text of tokenizer.json. Encoding with it puts BOS in front, as Llama's does.
 * @throws {ConfigError} when the model replaces characters before encoding.
 */
export function writeTokenizerJson(model: SentencePieceModel): string {
  if (model.trainer.modelType !== "bpe" || model.normalizer.hasCharsmap) {
    throw new ConfigError(
      `a ${model.trainer.modelType} tokenizer with the normaliser "${model.normalizer.name}" has no tokenizer.json here`,
      { mend: "Only BPE with identity normalisation, as Llama has, is written." },
    );
  }
  return `${JSON.stringify(tokenizerJson(model), null, 1)}\n`;
}

/**
 * @param chatTemplate Jinja source, by which chat programs lay out messages; empty for none.
 * @returns the content of tokenizer_config.json.
 */
export function tokenizerConfigJson(tokenizer: SpecialTokens, chatTemplate: string): object {
  const { pieces } = tokenizer.model;
  const added = pieces.flatMap(({ type, added: match }, id) =>
    type === "control" || type === "unknown" || match !== undefined ? [{ id, type, match }] : [],
  );
  const textOf = (id: number): string | null => pieces[id]?.piece ?? null;
  return {
    tokenizer_class: "LlamaTokenizer",
    add_bos_token: tokenizer.bosId >= 0,
    add_eos_token: false,
    unk_token: textOf(tokenizer.unkId),
    bos_token: textOf(tokenizer.bosId),
    eos_token: textOf(tokenizer.eosId),
    pad_token: textOf(tokenizer.padId),
    added_tokens_decoder: Object.fromEntries(
      added.map(({ id, type, match }) => {
        const isSpecial = type === "control" || type === "unknown";
        return [
          id,
          { content: pieces[id]!.piece, ...addedTokenFlags, ...flagsOf(match), special: isSpecial },
        ];
      }),
    ),
    clean_up_tokenization_spaces: false,
    legacy: true,
    sp_model_kwargs: {},
    ...(chatTemplate === "" ? {} : { chat_template: chatTemplate }),
  };
}

/**
 * @param name what to call the file in errors.
 * @param text the content of tokenizer.json.
 * @returns the same tokenizer as a SentencePiece model, added tokens included (`withAddedTokens`).
 * @throws {FormatError} when it is not JSON, or not a BPE tokenizer of Llama's kind.
 */
export function readTokenizerJson(name: string, text: string): SentencePieceModel {
  const file = parse(name, text);
  const { vocab, merges } = bpeModel(name, file["model"]);
  const scores = scoresOf(name, vocab, merges);
  const pieces: Piece[] = [];
  for (const [piece, id] of vocab) pieces[id] = { piece, score: scores.get(piece)!, type: typeOf(piece) };
  const added = addedTokens(name, file);
  const last = added.reduce((most, { id }) => Math.max(most, id), pieces.length - 1);
  if (last >= 2 * vocab.size + 1024) {
    throw invalid(name, `ids from 0 to ${last} of which not all are used`);
  }
  for (const { id, content } of added)
    if (content === "<unk>") pieces[id] = { piece: content, score: pieces[id]?.score ?? 0, type: "unknown" };
  for (let id = 0; id < pieces.length; id += 1) pieces[id] ??= unusedPiece(id);
  const addDummyPrefix = normalizerHas(file["normalizer"], "Prepend");
  const idOf = (piece: string): number => pieces.findIndex((candidate) => candidate.piece === piece);
  const model: SentencePieceModel = {
    pieces,
    trainer: {
      ...defaultTrainer,
      modelType: "bpe",
      vocabSize: pieces.length,
      byteFallback: pieces.some((piece) => piece.type === "byte"),
      unkId: idOf("<unk>"),
      bosId: idOf("<s>"),
      eosId: idOf("</s>"),
    },
    normalizer: { ...defaultNormalizer, name: "identity", addDummyPrefix, removeExtraWhitespaces: false },
  };
  return withAddedTokens(model, added, name);
}

// --- internal ---

function tokenizerJson(model: SentencePieceModel): object {
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: addedTokensJson(model),
    normalizer: { type: "Sequence", normalizers: normalizers(model) },
    pre_tokenizer: null,
    post_processor: postProcessor(model),
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "\u2581" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        ...(model.normalizer.addDummyPrefix ? [{ type: "Strip", content: " ", start: 1, stop: 0 }] : []),
      ],
    },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: model.trainer.unkPiece,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: model.trainer.byteFallback,
      vocab: Object.fromEntries(
        model.pieces.flatMap(({ piece, type }, id) => (type === "unused" ? [] : [[piece, id]])),
      ),
      merges: mergesOf(model).map(([left, right]) => `${left} ${right}`),
    },
  };
}

const addedTokenFlags: Record<"single_word" | "lstrip" | "rstrip" | "normalized" | "special", boolean> = {
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
};

function addedTokensJson(model: SentencePieceModel): object[] {
  return model.pieces.flatMap(({ piece, type, added }, id) => {
    if (added === undefined && type !== "control" && type !== "unknown" && type !== "user_defined") return [];
    const isSpecial = type === "control" || type === "unknown";
    return [{ id, content: piece, ...addedTokenFlags, ...flagsOf(added), special: isSpecial }];
  });
}

function flagsOf(added: AddedMatch | undefined): Partial<typeof addedTokenFlags> {
  if (added === undefined) return {};
  const { isNormalised, isWord, stripsLeft, stripsRight } = added;
  return { normalized: isNormalised, single_word: isWord, lstrip: stripsLeft, rstrip: stripsRight };
}

function addedTokens(name: string, file: Record<string, unknown>): AddedToken[] {
  return listOf(name, file, "added_tokens").map((record) => {
    const token = addedToken(record["id"], record);
    if (token === undefined) throw invalid(name, "an added token without text or id");
    return token;
  });
}

function normalizers({ normalizer }: SentencePieceModel): object[] {
  const collapse = [
    { type: "Replace", pattern: { Regex: "^ +| +$" }, content: "" },
    { type: "Replace", pattern: { Regex: " {2,}" }, content: " " },
  ];
  return [
    ...(normalizer.removeExtraWhitespaces ? collapse : []),
    ...(normalizer.addDummyPrefix ? [{ type: "Prepend", prepend: "\u2581" }] : []),
    { type: "Replace", pattern: { String: " " }, content: "\u2581" },
  ];
}

function postProcessor({ trainer, pieces }: SentencePieceModel): object | null {
  const bos = pieces[trainer.bosId]?.piece;
  if (bos === undefined) return null;
  const part = (sequence: string, type_id: number): object[] => [
    { SpecialToken: { id: bos, type_id } },
    { Sequence: { id: sequence, type_id } },
  ];
  return {
    type: "TemplateProcessing",
    single: part("A", 0),
    pair: [...part("A", 0), ...part("B", 1)],
    special_tokens: { [bos]: { id: bos, ids: [trainer.bosId], tokens: [bos] } },
  };
}

/** By score, highest first; pieces of one score by their ids, and the merges of a piece by those of its halves. */
function mergesOf(model: SentencePieceModel): [string, string][] {
  const ids = new Map<string, number>();
  for (const [id, { piece, type }] of model.pieces.entries()) if (type === "normal") ids.set(piece, id);
  const merges: { left: string; right: string; id: number; order: number }[] = [];
  for (const [piece, id] of ids) {
    for (let cut = 1; cut < piece.length; cut += 1) {
      const left = piece.slice(0, cut);
      const right = piece.slice(cut);
      const [leftId, rightId] = [ids.get(left), ids.get(right)];
      if (leftId === undefined || rightId === undefined) continue;
      merges.push({ left, right, id, order: leftId * model.pieces.length + rightId });
    }
  }
  const scoreOf = (id: number): number => model.pieces[id]!.score;
  merges.sort((a, b) => scoreOf(b.id) - scoreOf(a.id) || a.id - b.id || a.order - b.order);
  return merges.map(({ left, right }) => [left, right]);
}

function parse(name: string, text: string): Record<string, unknown> {
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch (cause) {
    throw new FormatError("this is not JSON", { file: name, cause, mend: "Fetch tokenizer.json again." });
  }
  if (!isRecord(file)) throw invalid(name, "no object at the top");
  return file;
}

function bpeModel(
  name: string,
  model: unknown,
): { vocab: Map<string, number>; merges: readonly (readonly [string, string])[] } {
  if (!isRecord(model) || !isRecord(model["vocab"]) || !Array.isArray(model["merges"])) {
    throw invalid(name, "no BPE model");
  }
  if (model["byte_fallback"] !== true) throw invalid(name, "a BPE model without byte fallback");
  const vocab = new Map<string, number>();
  const size = Object.keys(model["vocab"]).length;
  for (const [piece, id] of Object.entries(model["vocab"])) {
    if (!Number.isInteger(id) || (id as number) < 0 || (id as number) > 2 * size + 1024) {
      throw invalid(name, `the id ${JSON.stringify(id)} for "${piece}"`);
    }
    vocab.set(piece, id as number);
  }
  const merges = model["merges"].map((merge: unknown, i): readonly [string, string] => {
    // Newer files have pairs, older ones two pieces with a space between, which no piece holds.
    const halves: unknown = typeof merge === "string" ? merge.split(" ") : merge;
    if (!Array.isArray(halves) || halves.length !== 2 || halves.some((half) => typeof half !== "string")) {
      throw invalid(name, `merge ${i}, which is not a pair`);
    }
    return halves as unknown as [string, string];
  });
  return { vocab, merges };
}

function scoresOf(
  name: string,
  vocab: ReadonlyMap<string, number>,
  merges: readonly (readonly [string, string])[],
): Map<string, number> {
  const scores = new Map<string, number>();
  for (const [left, right] of merges) {
    const piece = left + right;
    if (!vocab.has(piece)) throw invalid(name, `a merge into "${piece}", which is not in the vocabulary`);
    if (!scores.has(piece)) scores.set(piece, -scores.size);
  }
  for (const piece of vocab.keys()) if (!scores.has(piece)) scores.set(piece, -scores.size);
  return scores;
}

function typeOf(piece: string): PieceType {
  return /^<0x[0-9A-F]{2}>$/.test(piece) ? "byte" : "normal";
}

function normalizerHas(normalizer: unknown, type: string): boolean {
  if (!isRecord(normalizer)) return false;
  if (normalizer["type"] === type) return true;
  const inner = normalizer["normalizers"];
  return Array.isArray(inner) && inner.some((step) => normalizerHas(step, type));
}

function listOf(name: string, file: Record<string, unknown>, key: string): Record<string, unknown>[] {
  const list = file[key] ?? [];
  if (!Array.isArray(list) || !list.every(isRecord))
    throw invalid(name, `"${key}" that is not a list of objects`);
  return list;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function invalid(name: string, what: string): FormatError {
  return new FormatError(`a tokenizer.json with ${what}`, {
    file: name,
    mend: "Only BPE tokenizers with byte fallback, as Llama 1 and 2 have, are read; use tokenizer.model if there is one.",
  });
}
