/** `cria corpus prepare`: from texts to token shards, as `cria pretrain` reads them. */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { defaultCache } from "../../corpus/npm-package.ts";
import { gatherDocuments, type CorpusSummary, type DocumentCount } from "../../corpus/prepare.ts";
import type { Document } from "../../corpus/document.ts";
import { writeShards, type SplitName } from "../../corpus/shards.ts";
import { PretrainRecipe } from "../../pretrain/recipe.ts";
import { readRecipe } from "../../train/recipe-file.ts";
import { createTokenizer, type Tokenizer } from "../../tokenizer/tokenizer.ts";
import { defineCommand } from "../command.ts";
import { openTokenizer } from "../open-tokenizer.ts";
import { Progress } from "../progress.ts";
import { formatBytes, formatCount, formatNumberOf, table, type TextStream } from "../terminal.ts";
import { trainWithProgress, writeTokenizer } from "./tokenizer.ts";

export const corpusPrepare = defineCommand({
  details:
    "Reads the sources, cleans them, drops duplicates, holds a part out for validation, trains a tokenizer unless " +
    "one is given, and writes tokens. The settings are those of a pretraining recipe: corpus, tokenizer and seed.",
  args: {
    recipe: { type: "positional", description: "A pretraining recipe, for its corpus and tokenizer" },
    source: {
      type: "string",
      alias: "s",
      multiple: true,
      valueHint: "FROM",
      description: "A .txt, a .jsonl, a directory or npm:<package>@<version>, in place of the recipe's",
    },
    out: {
      type: "string",
      alias: "o",
      required: true,
      valueHint: "DIR",
      description: "Where shards are written",
    },
    tokenizer: {
      type: "string",
      alias: "t",
      valueHint: "FILE",
      description: "Encode with this one, of a file or a model, and train none",
    },
    set: {
      type: "string",
      multiple: true,
      valueHint: "KEY=VALUE",
      description: "Change a setting, such as tokenizer.vocab_size=4096",
    },
  },
  examples: [
    "cria corpus prepare --out data --set tokenizer.vocab_size=4096",
    "cria corpus prepare --source books --source notes.jsonl --tokenizer tokenizer.model --out data",
  ],
  async run({ recipe: path, source, out, tokenizer: tokenizerPath, set }, { stdout, stderr }) {
    const recipe = readRecipe(PretrainRecipe, path, [
      ...(source.length === 0 ? [] : [`corpus.sources=${JSON.stringify(source.map((from) => ({ from })))}`]),
      ...(tokenizerPath === undefined ? [] : [`tokenizer=${JSON.stringify({ path: tokenizerPath })}`]),
      ...set,
    ]);
    // Opened before minutes are spent on the corpus.
    const given = "path" in recipe.tokenizer ? openTokenizer(recipe.tokenizer.path) : undefined;
    const { train, validation, summary } = await gather(recipe, stderr);
    const tokenizer = given ?? trainedTokenizer(recipe.tokenizer, train, stderr);
    mkdirSync(out, { recursive: true });
    writeTokenizer(join(out, "tokenizer.model"), tokenizer.model);
    const trainIndex = await encode("train", train, { out, tokenizer, stderr });
    const validationIndex = await encode("validation", validation, { out, tokenizer, stderr });
    stdout.write(summaryText(summary));
    stdout.write(
      `\n${formatCount(trainIndex.tokens)} tokens to train on and ${formatCount(validationIndex.tokens)} held out, ` +
        `in ${out}\n`,
    );
  },
});

// --- internal ---

async function gather(recipe: PretrainRecipe, stderr: TextStream): ReturnType<typeof gatherDocuments> {
  const { sources, validation_fraction: validationFraction, min_characters: minCharacters } = recipe.corpus;
  const options = { sources, cache: defaultCache(), seed: recipe.seed, validationFraction, minCharacters };
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
  const { vocab_size: vocabSize, character_coverage: characterCoverage } = settings;
  const options = { vocabSize, characterCoverage, maxPieceLength: settings.max_piece_length };
  return createTokenizer(
    trainWithProgress(
      train.map(({ text }) => text),
      options,
      stderr,
    ),
  );
}

async function encode(
  name: SplitName,
  documents: readonly Document[],
  { out, tokenizer, stderr }: { out: string; tokenizer: Tokenizer; stderr: TextStream },
): ReturnType<typeof writeShards> {
  using progress = new Progress({
    label: `Encoding ${name}`,
    total: documents.length,
    unit: "documents",
    stream: stderr,
  });
  const index = await writeShards(out, name, documents, tokenizer, {
    onProgress: ({ documents: done, tokens }) =>
      progress.update({ done, note: `${formatCount(tokens)} tokens` }),
  });
  progress.end(`${formatCount(index.tokens)} tokens`);
  return index;
}

function countRow(name: string, { documents, bytes }: DocumentCount): string[] {
  return [name, formatCount(documents), formatBytes(bytes)];
}

function summaryText(summary: CorpusSummary): string {
  const rows = [
    ["", "documents", "text"],
    ...summary.sources.map((source) => countRow(source.from, source)),
    countRow("to train on", summary.train),
    countRow("held out", summary.validation),
  ];
  const dropped = [
    [summary.tooShort, "too short"],
    [summary.duplicates, "duplicates"],
    [summary.overlapping, "nearly contained in others"],
  ]
    .filter(([count]) => count !== 0)
    .map(([count, what]) => `${count} ${what}`);
  return (
    table(rows, { right: [1, 2] }) +
    `${formatCount(summary.read)} read${dropped.length === 0 ? "" : `, dropped ${dropped.join(", ")}`}\n`
  );
}
