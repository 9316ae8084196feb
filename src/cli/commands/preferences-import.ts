/** `cria preferences import`: published preference data, checked and split, into files or the annotation store. */

import { basename, join } from "node:path";
import { ConfigError } from "../../errors/errors.ts";
import { makeDirectory } from "../../formats/make-directory.ts";
import { importComparisons } from "../../preference/annotation/import.ts";
import type { Comparison } from "../../preference/comparison.ts";
import { languages } from "../../preference/language.ts";
import { findLeakage } from "../../preference/leakage.ts";
import { readComparisons, unstatedJudge } from "../../preference/read.ts";
import { screen, splitComparisons, type Split } from "../../preference/screen.ts";
import { writeComparisons } from "../../preference/write.ts";
import { openNamedStore } from "../annotation-options.ts";
import { defineCommand, type ArgumentValues } from "../command.ts";
import { pairArguments, pairDefaultsOf } from "../preference-options.ts";
import { formatNumberOf, printable, type TextStream } from "../terminal.ts";

const importArguments = {
  input: {
    type: "positional",
    required: true,
    multiple: true,
    description: "Files of pairs: .jsonl, .json, both also .gz, or .parquet",
  },
  out: {
    type: "string",
    alias: "o",
    valueHint: "DIR",
    description: "Where train and test are written",
  },
  store: {
    type: "string",
    valueHint: "DIR",
    description: "The annotation store that they are added to; DATABASE_URL names a server",
  },
  batch: {
    type: "string",
    valueHint: "NAME",
    description: "Before the names of the store's new batches; the first file's by default",
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
    description: "What is written to --out",
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
  ...pairArguments,
} as const;

type ImportArguments = ArgumentValues<typeof importArguments>;

export const preferencesImport = defineCommand({
  details:
    "Reads hh-rlhf's transcripts, TRL's prompt, chosen and rejected, ShareGPT pairs and AlpacaEval's annotations; " +
    "drops what is no comparison, duplicates and what is too long; holds whole conversations out for the test; and " +
    "writes train and test in TRL's format, which `cria reward` reads. The test set of files that come split is " +
    "given with --test; what of it was trained on is dropped. With --store they become closed batches of the annotation " +
    "store, which names their source and who preferred; what the store has already is not added again.",
  args: importArguments,
  examples: [
    "cria preferences import hh-rlhf/train.jsonl.gz --test hh-rlhf/test.jsonl.gz --out preferences",
    "cria preferences import hh-rlhf/harmless.jsonl.gz --store annotations",
    "cria preferences import pairs.parquet --language en --test-share 0.1 --out preferences",
  ],
  async run(args, { stdout }) {
    const { out, store } = args;
    if (out === undefined && store === undefined) {
      throw new ConfigError("nothing says where the comparisons go", {
        mend: "Give --out DIR for files of train and test, or --store DIR for the annotation store.",
      });
    }
    if (args.batch !== undefined && store === undefined) {
      throw new ConfigError(`--batch names batches of a store, and there is none`, {
        mend: "Give --store DIR too.",
      });
    }
    const notes: string[] = [];
    const split = await readSplit(args, notes);
    if (store !== undefined) checkJudges(split);
    stdout.write(`${notes.join("\n")}\n`);
    if (out !== undefined) writeSplit(out, split, { format: args.format, stdout });
    if (store !== undefined) await addToStore(store, split, { args, stdout });
  },
});

// --- internal ---

/** @param notes are told what was read and dropped. */
async function readSplit(args: ImportArguments, notes: string[]): Promise<Split> {
  const all = await readScreened(args.input, args, notes);
  const split =
    args.test.length === 0
      ? splitComparisons(all, args["test-share"], args.seed)
      : { train: all, test: await readScreened(args.test, args, notes) };
  const { equal, overlapping } = findLeakage(split.train, split.test);
  const leaked = new Set([...equal, ...overlapping]);
  if (leaked.size > 0) {
    notes.push(
      `${leaked.size} dropped from the test: ${equal.length} prompts are in train, ${overlapping.length} for the most part`,
    );
  }
  return { train: split.train, test: split.test.filter((_, place) => !leaked.has(place)) };
}

async function readScreened(
  paths: readonly string[],
  args: ImportArguments,
  notes: string[],
): Promise<readonly Comparison[]> {
  const comparisons: Comparison[] = [];
  for (const path of paths) {
    const file = await readComparisons(path, pairDefaultsOf(args));
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

/** @throws {ConfigError} where a comparison does not say who preferred: in the store each does. */
function checkJudges({ train, test }: Split): void {
  const all = [...train, ...test];
  const silent = all.filter(({ judge }) => judge === unstatedJudge).length;
  if (silent === 0) return;
  throw new ConfigError(`${silent} of ${formatNumberOf(all.length, "comparison")} do not say who preferred`, {
    mend: 'Say it for them, such as --judge "people (NAME OF THE DATA SET)" or --judge "judge.js (script)".',
  });
}

function writeSplit(
  out: string,
  { train, test }: Split,
  { format, stdout }: { readonly format: string; readonly stdout: TextStream },
): void {
  makeDirectory(out);
  writeComparisons(join(out, `train.${format}`), train);
  writeComparisons(join(out, `test.${format}`), test);
  stdout.write(`${train.length} to train on and ${test.length} to test with, in ${out}\n`);
}

async function addToStore(
  store: string,
  split: Split,
  { args, stdout }: { readonly args: ImportArguments; readonly stdout: TextStream },
): Promise<void> {
  const files = [...args.input, ...args.test].map((file) => basename(file));
  const name = args.batch ?? files[0]!.replace(/\.(?:jsonl|json|parquet)(?:\.gz)?$/i, "");
  await using database = await openNamedStore(store);
  const { batches, known, leaking } = await importComparisons(database, {
    name,
    source: files.join(", "),
    ...split,
  });
  if (known > 0) stdout.write(`${known} are in ${printable(database.name)} already\n`);
  if (leaking > 0) stdout.write(`${leaking} dropped: their prompts are in its other split\n`);
  if (batches.length === 0) stdout.write(`nothing was added to ${printable(database.name)}\n`);
  for (const { name: batch, comparisons } of batches) {
    stdout.write(`${formatNumberOf(comparisons, "comparison")} in the closed batch "${printable(batch)}"\n`);
  }
}
