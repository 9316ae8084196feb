/** `cria preferences import | stats`: published preference data, checked, split, and in numbers. */

import { basename, join } from "node:path";
import { makeDirectory } from "../../formats/make-directory.ts";
import type { Comparison } from "../../preference/comparison.ts";
import { safetyLabels, strengths } from "../../preference/comparison.ts";
import { languages } from "../../preference/language.ts";
import { findLeakage } from "../../preference/leakage.ts";
import { readComparisons } from "../../preference/read.ts";
import { screen, splitComparisons } from "../../preference/screen.ts";
import { countWords, preferenceStatistics, type PreferenceStatistics } from "../../preference/statistics.ts";
import { writeComparisons } from "../../preference/write.ts";
import { openTokenizer } from "../../tokenizer/open.ts";
import { defineCommand } from "../command.ts";
import { fit, formatCount, formatNumberOf, printable, table } from "../terminal.ts";

const input = {
  type: "positional",
  required: true,
  multiple: true,
  description: "Files of pairs: .jsonl, .json, both also .gz, or .parquet",
} as const;

const quality = {
  type: "string",
  choices: ["helpfulness", "safety"],
  description: "What pairs that do not say so are about; safety where the path says harmless",
} as const;

const judge = {
  type: "string",
  valueHint: "NAME",
  description: "Who preferred, for pairs that do not say so",
} as const;

export const preferencesImport = defineCommand({
  details:
    "Reads hh-rlhf's transcripts, TRL's prompt, chosen and rejected, ShareGPT pairs and AlpacaEval's annotations; " +
    "drops what is no comparison, duplicates and what is too long; holds whole conversations out for the test; and " +
    "writes train and test in TRL's format, which `cria reward` reads. The test set of files that come split is " +
    "given with --test; what of it was trained on is dropped.",
  args: {
    input,
    out: {
      type: "string",
      alias: "o",
      required: true,
      valueHint: "DIR",
      description: "Where train and test are written",
    },
    test: {
      type: "string",
      multiple: true,
      valueHint: "FILE",
      description: "Pairs to test with, where the data come split",
    },
    "test-share": {
      type: "string",
      as: "number",
      min: 0,
      default: "0.05",
      valueHint: "SHARE",
      description: "Conversations held out, without --test",
    },
    seed: { type: "string", as: "integer", default: "1", valueHint: "N", description: "Of what is held out" },
    format: {
      type: "string",
      choices: ["jsonl", "parquet"],
      default: "jsonl",
      description: "What is written",
    },
    language: {
      type: "string",
      choices: languages,
      description: "Drop what is clearly in another language",
    },
    "max-answer": {
      type: "string",
      as: "integer",
      min: 1,
      default: "16000",
      valueHint: "N",
      description: "Longest answer, in characters",
    },
    "max-prompt": {
      type: "string",
      as: "integer",
      min: 1,
      default: "32000",
      valueHint: "N",
      description: "Longest prompt with the turns before it, in characters",
    },
    quality,
    judge,
  },
  examples: [
    "cria preferences import hh-rlhf/train.jsonl.gz --test hh-rlhf/test.jsonl.gz --out preferences",
    "cria preferences import pairs.parquet --language en --test-share 0.1 --out preferences",
  ],
  async run(args, { stdout }) {
    const notes: string[] = [];
    const read = async (paths: readonly string[]): Promise<readonly Comparison[]> => {
      const comparisons: Comparison[] = [];
      for (const path of paths) {
        const file = await readComparisons(path, defaultsOf(args));
        notes.push(`${printable(path)}: ${formatNumberOf(file.comparisons.length, "comparison")}`);
        for (const [reason, count] of file.excluded) notes.push(`  ${count} dropped: ${reason}`);
        comparisons.push(...file.comparisons);
      }
      const { kept, ...counts } = screen(comparisons, {
        maxAnswerCharacters: args["max-answer"],
        maxPromptCharacters: args["max-prompt"],
        ...(args.language === undefined ? {} : { language: args.language }),
      });
      notes.push(...screenNotes(counts));
      return kept;
    };
    const all = await read(args.input);
    const split =
      args.test.length === 0
        ? splitComparisons(all, args["test-share"], args.seed)
        : { train: all, test: await read(args.test) };
    const { equal, overlapping } = findLeakage(split.train, split.test);
    const leaked = new Set([...equal, ...overlapping]);
    const test = split.test.filter((_, place) => !leaked.has(place));
    if (leaked.size > 0) {
      notes.push(
        `${leaked.size} dropped from the test: ${equal.length} prompts are in train, ${overlapping.length} for the most part`,
      );
    }
    makeDirectory(args.out);
    writeComparisons(join(args.out, `train.${args.format}`), split.train);
    writeComparisons(join(args.out, `test.${args.format}`), test);
    stdout.write(`${notes.join("\n")}\n`);
    stdout.write(`${split.train.length} to train on and ${test.length} to test with, in ${args.out}\n`);
  },
});

export const preferencesStats = defineCommand({
  details:
    "A row for each file in the columns of Llama 2's Table 6: questions a conversation, and the mean length of an " +
    "example (prompt and chosen answer), a question and an answer, in words or, with a tokenizer, in tokens. Then how " +
    "clear the preferences are, how safe, and whose.",
  args: {
    input,
    tokenizer: {
      type: "string",
      alias: "t",
      valueHint: "FILE",
      description: "Count tokens of this one, of a file or a model",
    },
    quality,
    judge,
    json: { type: "boolean", description: "One JSON object a file" },
  },
  examples: [
    "cria preferences stats preferences/train.jsonl preferences/test.jsonl",
    "cria preferences stats pairs.jsonl.gz --tokenizer tokenizer.model --json",
  ],
  async run(args, { stdout }) {
    const tokenizer = args.tokenizer === undefined ? undefined : openTokenizer(args.tokenizer);
    const measure =
      tokenizer === undefined ? countWords : (text: string): number => tokenizer.encode(text).length;
    const rows: { readonly file: string; readonly statistics: PreferenceStatistics }[] = [];
    for (const file of args.input) {
      const { comparisons } = await readComparisons(file, defaultsOf(args));
      rows.push({ file, statistics: preferenceStatistics(comparisons, measure) });
    }
    const unit = tokenizer === undefined ? "words" : "tokens";
    if (args.json) {
      for (const { file, statistics } of rows)
        stdout.write(`${JSON.stringify({ file, unit, ...statistics })}\n`);
    } else stdout.write(statisticsText(rows, unit));
  },
});

// --- internal ---

function defaultsOf(args: {
  readonly quality: string | undefined;
  readonly judge: string | undefined;
}): NonNullable<Parameters<typeof readComparisons>[1]> {
  return {
    ...(args.quality === undefined ? {} : { quality: args.quality === "safety" ? "safety" : "helpfulness" }),
    ...(args.judge === undefined ? {} : { judge: args.judge }),
  };
}

function screenNotes(counts: {
  readonly duplicates: number;
  readonly contradictions: number;
  readonly tooLong: number;
  readonly otherLanguage: number;
}): string[] {
  return [
    [counts.duplicates, "duplicates dropped"],
    [counts.tooLong, "too long, dropped"],
    [counts.otherLanguage, "in another language, dropped"],
    [counts.contradictions, "prefer what another prefers not; kept"],
  ]
    .filter(([count]) => count !== 0)
    .map(([count, what]) => `  ${count} ${what}`);
}

type StatisticsRows = readonly { readonly file: string; readonly statistics: PreferenceStatistics }[];

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
  const body = rows.map(({ file, statistics: s }) => [
    fit(printable(basename(file)), 40),
    formatCount(s.comparisons),
    ...[s.turns, s.example, s.prompt, s.response].map((mean) => mean.toFixed(1)),
    `${(100 * s.chosenIsLonger).toFixed(0)}%`,
  ]);
  const shares = rows.map(({ file, statistics: s }) => {
    const shareTable = [
      ...shareRows("strength", [...strengths, "not stated"], s.strengths),
      ...shareRows("safety", [...safetyLabels, "not stated"], s.safety),
      ...shareRows("judge", Object.keys(s.judges), s.judges),
    ];
    return `\n${printable(basename(file))}\n${table(shareTable, { indent: "  ", right: [2, 3] })}`;
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
