/** From sources to a folder of token shards with their tokenizer: what `cria pretrain` reads. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { makeDirectory } from "../../formats/make-directory.ts";
import { defaultCache } from "../../corpus/npm-package.ts";
import { gatherDocuments, type CorpusSummary } from "../../corpus/prepare.ts";
import type { Document } from "../../corpus/document.ts";
import { openShards, writeShards, type SplitName, type TokenShards } from "../../corpus/shards.ts";
import { writeFileAtomically } from "../../formats/atomic-file.ts";
import { readJsonFile } from "../../formats/json.ts";
import type { PretrainRecipe } from "../../pretrain/recipe.ts";
import { createTokenizer, type Tokenizer } from "../../tokenizer/tokenizer.ts";
import { trainWithProgress, writeTokenizer } from "../commands/tokenizer.ts";
import { openTokenizer } from "../../tokenizer/open.ts";
import { Progress } from "../progress.ts";
import { formatCount, formatNumberOf, type TextStream } from "../terminal.ts";
import type { StageContext } from "./context.ts";

export interface PreparedCorpus extends Disposable {
  readonly tokenizer: Tokenizer;
  readonly train: TokenShards;
  /** Nothing, when nothing is held out. */
  readonly validation: TokenShards | undefined;
  /** Of shards that Cria made here; others come without. */
  readonly summary: CorpusSummary | undefined;
}

type CorpusSettings = Pick<PretrainRecipe, "corpus" | "tokenizer" | "seed">;

/**
 * Reads, cleans and splits the sources, trains the tokenizer unless one is named, and writes tokens to `folder`.
 *
 * @throws {ConfigError} for an empty corpus or sources that are not there.
 * @throws the signal's reason when it is aborted; a second call goes on.
 */
export async function prepareCorpus(
  recipe: CorpusSettings,
  folder: string,
  context: StageContext,
): Promise<CorpusSummary> {
  // Opened before minutes are spent on the corpus.
  const given = "path" in recipe.tokenizer ? openTokenizer(recipe.tokenizer.path) : undefined;
  const { train, validation, summary } = await gather(recipe, context);
  context.signal.throwIfAborted();
  const tokenizer = given ?? trainedTokenizer(recipe.tokenizer, train, context.stderr);
  makeDirectory(folder);
  writeTokenizer(join(folder, "tokenizer.model"), tokenizer.model);
  context.signal.throwIfAborted();
  await encode("train", train, { folder, tokenizer, context });
  if (validation.length > 0) await encode("validation", validation, { folder, tokenizer, context });
  // Written last: a folder with a summary is whole.
  writeFileAtomically(join(folder, summaryFile), `${JSON.stringify(summary, null, 2)}\n`);
  return summary;
}

/** Opens a folder of shards, first making it if it is not whole; the caller disposes it. */
export async function openCorpus(
  recipe: CorpusSettings,
  folder: string,
  context: StageContext,
): Promise<PreparedCorpus> {
  const isWhole = existsSync(join(folder, summaryFile));
  if (!isWhole) await prepareCorpus(recipe, folder, context);
  return openPrepared(folder);
}

/** Opens a folder that `cria corpus prepare` made; the caller disposes it. */
export function openPrepared(folder: string): PreparedCorpus {
  const tokenizer = openTokenizer(join(folder, "tokenizer.model"));
  const train = openShards(folder, "train");
  const validation = existsSync(join(folder, "validation-index.json"))
    ? openShards(folder, "validation")
    : undefined;
  return {
    tokenizer,
    train,
    validation,
    summary: readSummary(folder),
    [Symbol.dispose]: () => {
      validation?.[Symbol.dispose]();
      train[Symbol.dispose]();
    },
  };
}

// --- internal ---

const summaryFile = "corpus.json";

function readSummary(folder: string): CorpusSummary | undefined {
  const file = join(folder, summaryFile);
  return existsSync(file) ? (readJsonFile(file) as unknown as CorpusSummary) : undefined;
}

async function gather(
  { corpus, seed }: CorpusSettings,
  { stderr, signal }: StageContext,
): ReturnType<typeof gatherDocuments> {
  const { sources, validation_fraction: validationFraction, min_characters: minCharacters } = corpus;
  const options = { sources, cache: defaultCache(), seed, validationFraction, minCharacters, signal };
  using progress = new Progress({ label: "Corpus", total: 0, unit: "documents", stream: stderr });
  const gathered = await gatherDocuments(options, ({ from, documents }) =>
    progress.update({ done: documents, note: from }),
  );
  progress.end(formatNumberOf(gathered.summary.read, "document"));
  return gathered;
}

function trainedTokenizer(
  settings: PretrainRecipe["tokenizer"],
  train: readonly Document[],
  stderr: TextStream,
): Tokenizer {
  if ("path" in settings) return openTokenizer(settings.path);
  const {
    vocab_size: vocabSize,
    character_coverage: characterCoverage,
    max_piece_length: maxPieceLength,
  } = settings;
  const texts = train.map(({ text }) => text);
  return createTokenizer(trainWithProgress(texts, { vocabSize, characterCoverage, maxPieceLength }, stderr));
}

interface EncodeTarget {
  readonly folder: string;
  readonly tokenizer: Tokenizer;
  readonly context: StageContext;
}

async function encode(
  name: SplitName,
  documents: readonly Document[],
  { folder, tokenizer, context }: EncodeTarget,
): Promise<void> {
  const label = `Encoding ${name}`;
  using progress = new Progress({
    label,
    total: documents.length,
    unit: "documents",
    stream: context.stderr,
  });
  const index = await writeShards(folder, name, documents, tokenizer, {
    signal: context.signal,
    onProgress: ({ documents: done, tokens }) =>
      progress.update({ done, note: `${formatCount(tokens)} tokens` }),
  });
  progress.end(`${formatCount(index.tokens)} tokens`);
}
