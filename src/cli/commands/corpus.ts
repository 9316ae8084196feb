/** `cria corpus prepare`: from texts to token shards, as `cria pretrain` reads them. */

import type { CorpusSummary, DocumentCount } from "../../corpus/prepare.ts";
import { PretrainRecipe } from "../../pretrain/recipe.ts";
import { readRecipe } from "../../train/recipe-file.ts";
import { defineCommand } from "../command.ts";
import { openPrepared, prepareCorpus } from "../stages/corpus.ts";
import { formatBytes, formatCount, table } from "../terminal.ts";

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
  async run({ recipe: path, source, out, tokenizer: tokenizerPath, set }, { signal, stdout, stderr, style }) {
    const recipe = readRecipe(PretrainRecipe, path, [
      ...(source.length === 0 ? [] : [`corpus.sources=${JSON.stringify(source.map((from) => ({ from })))}`]),
      ...(tokenizerPath === undefined ? [] : [`tokenizer=${JSON.stringify({ path: tokenizerPath })}`]),
      ...set,
    ]);
    const summary = await prepareCorpus(recipe, out, { signal, stderr, style });
    using prepared = openPrepared(out);
    stdout.write(summaryText(summary));
    stdout.write(
      `\n${formatCount(prepared.train.tokens)} tokens to train on and ${formatCount(prepared.validation?.tokens ?? 0)} held out, ` +
        `in ${out}\n`,
    );
  },
});

// --- internal ---

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
