/** `cria preferences stats`: preference data in numbers. */

import { basename } from "node:path";
import { ConfigError } from "../../errors/errors.ts";
import { listBatches } from "../../preference/annotation/batches.ts";
import { exportComparisons } from "../../preference/annotation/export.ts";
import { safetyLabels, strengths, type Comparison } from "../../preference/comparison.ts";
import { readComparisons } from "../../preference/read.ts";
import { countWords, preferenceStatistics, type PreferenceStatistics } from "../../preference/statistics.ts";
import { openTokenizer } from "../../tokenizer/open.ts";
import { openKnownStore } from "../annotation-options.ts";
import { defineCommand } from "../command.ts";
import { pairArguments, pairDefaultsOf } from "../preference-options.ts";
import { fit, formatCount, printable, table } from "../terminal.ts";

export const preferencesStats = defineCommand({
  details:
    "A row for each file, or each batch of a store, in the columns of Llama 2's Table 6: questions a conversation, and the mean length of an " +
    "example (prompt and chosen answer), a question and an answer, in words or, with a tokenizer, in tokens. Then how " +
    "clear the preferences are, how safe, and whose.",
  args: {
    input: {
      type: "positional",
      multiple: true,
      description: "Files of pairs: .jsonl, .json, both also .gz, or .parquet",
    },
    store: {
      type: "string",
      valueHint: "DIR",
      description: "Each batch of this annotation store instead; DATABASE_URL names a server",
    },
    tokenizer: {
      type: "string",
      alias: "t",
      valueHint: "FILE",
      description: "Count tokens of this one, of a file or a model",
    },
    ...pairArguments,
    json: { type: "boolean", description: "One JSON object a row" },
  },
  examples: [
    "cria preferences stats preferences/train.jsonl preferences/test.jsonl",
    "cria preferences stats --store annotations",
    "cria preferences stats pairs.jsonl.gz --tokenizer tokenizer.model --json",
  ],
  async run(args, { stdout }) {
    const tokenizer = args.tokenizer === undefined ? undefined : openTokenizer(args.tokenizer);
    const measure =
      tokenizer === undefined ? countWords : (text: string): number => tokenizer.encode(text).length;
    const sets =
      args.store === undefined
        ? await setsOfFiles(args.input, args)
        : await setsOfStore(args.store, args.input);
    const rows = sets.map(({ comparisons, ...set }) => ({
      set,
      statistics: preferenceStatistics(comparisons, measure),
    }));
    const unit = tokenizer === undefined ? "words" : "tokens";
    if (args.json) {
      for (const { set, statistics } of rows)
        stdout.write(`${JSON.stringify({ ...set, unit, ...statistics })}\n`);
    } else stdout.write(statisticsText(rows, unit));
  },
});

// --- internal ---

/** A file of comparisons, or a batch. */
type Named = { readonly file: string } | { readonly batch: string };

type ComparisonSet = Named & { readonly comparisons: readonly Comparison[] };

async function setsOfFiles(
  files: readonly string[],
  args: Parameters<typeof pairDefaultsOf>[0],
): Promise<ComparisonSet[]> {
  if (files.length === 0) {
    throw new ConfigError("there is nothing to count", { mend: "Name files of pairs, or give --store DIR." });
  }
  const sets: ComparisonSet[] = [];
  for (const file of files) {
    const { comparisons } = await readComparisons(file, pairDefaultsOf(args));
    sets.push({ file, comparisons });
  }
  return sets;
}

async function setsOfStore(store: string, files: readonly string[]): Promise<ComparisonSet[]> {
  if (files.length > 0) {
    throw new ConfigError(`there are both --store and a file, ${files[0]}`, {
      mend: "Count one after the other.",
    });
  }
  await using database = await openKnownStore(store);
  const sets: ComparisonSet[] = [];
  for (const { name: batch } of await listBatches(database)) {
    const { comparisons } = await exportComparisons(database, { batches: [batch] });
    if (comparisons.length > 0) sets.push({ batch, comparisons });
  }
  if (sets.length > 0) return sets;
  throw new ConfigError(`${database.name} has no comparison yet`, {
    mend: "`cria annotate` collects them, `cria preferences import` adds others'.",
  });
}

type StatisticsRows = readonly { readonly set: Named; readonly statistics: PreferenceStatistics }[];

function titleOf(set: Named): string {
  return printable("file" in set ? basename(set.file) : set.batch);
}

function statisticsText(rows: StatisticsRows, unit: string): string {
  const head = [
    "",
    "comparisons",
    "turns",
    `${unit}/example`,
    `${unit}/prompt`,
    `${unit}/response`,
    "longer",
  ];
  const body = rows.map(({ set, statistics: s }) => [
    fit(titleOf(set), 40),
    formatCount(s.comparisons),
    ...[s.turns, s.example, s.prompt, s.response].map((mean) => mean.toFixed(1)),
    `${(100 * s.chosenIsLonger).toFixed(0)}%`,
  ]);
  const shares = rows.map(({ set, statistics: s }) => {
    const shareTable = [
      ...shareRows("strength", [...strengths, "not stated"], s.strengths),
      ...shareRows("safety", [...safetyLabels, "not stated"], s.safety),
      ...shareRows("judge", Object.keys(s.judges), s.judges),
    ];
    return `\n${titleOf(set)}\n${table(shareTable, { indent: "  ", right: [2, 3] })}`;
  });
  return table([head, ...body], { right: [1, 2, 3, 4, 5, 6] }) + shares.join("");
}

function shareRows(
  title: string,
  names: readonly string[],
  counts: Readonly<Record<string, number>>,
): string[][] {
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  return names
    .filter((name) => counts[name] !== undefined)
    .map((name, i) => [
      i === 0 ? title : "",
      printable(name),
      formatCount(counts[name]!),
      `${((100 * counts[name]!) / total).toFixed(0)}%`,
    ]);
}
