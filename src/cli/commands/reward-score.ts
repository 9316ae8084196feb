/** `cria reward score`: what a reward model says of answers. */

import { isFields } from "../../dialog/json-records.ts";
import { CriaError } from "../../errors/errors.ts";
import { answeredOf, readAnswered } from "../../reward/answered-file.ts";
import type { Answered } from "../../reward/reward-function.ts";
import { openRewardModel, type Scorer } from "../../reward/scorer.ts";
import { defineCommand } from "../command.ts";
import { arriving, readLines } from "../lines.ts";
import { modelArguments } from "../model-options.ts";
import { fit, printable, table, type TextStream } from "../terminal.ts";

const { threads, device } = modelArguments;

export const rewardScore = defineCommand({
  details:
    'The file has an answer a line: {"prompt": "…", "answer": "…"}, the prompt a text or a list of messages, or ' +
    '{"messages": […]} ending with the answer. Scores are logits: their sigmoid is what the paper shows, and the larger ' +
    "the better. Answers are scored many at a time; with --file - as they come on standard input, a line of JSON for each " +
    "line, until it ends.",
  args: {
    model: { type: "positional", required: true, description: "A reward model's folder" },
    file: {
      type: "string",
      required: true,
      valueHint: "FILE",
      description: "Answers, in JSON lines; - for standard input",
    },
    threads,
    device,
    json: { type: "boolean", description: "Print a line of JSON for each answer" },
  },
  examples: [
    "cria reward score runs/reward-hh/checkpoints/step-00000073 --file answers.jsonl",
    "cria reward score runs/reward-hh/checkpoints/step-00000073 --file answers.jsonl --json",
  ],
  async run(args, { stdout, style, signal }) {
    const answers = args.file === "-" ? [] : readAnswered(args.file);
    using scorer = openRewardModel(args.model, {
      device: args.device,
      ...(args.threads === undefined ? {} : { threads: args.threads }),
    });
    if (args.file === "-") {
      await scoreStream(scorer, stdout, signal);
      return;
    }
    const scores = await scorer.score(answers, signal);
    const rows = answers.map(({ answer }, i) => Object.assign(scored(scores[i]!), { answer }));
    if (args.json) {
      for (const { score, sigmoid } of rows) stdout.write(`${JSON.stringify({ score, sigmoid })}\n`);
      return;
    }
    const lines = rows.map(({ answer, score, sigmoid }) => [
      score.toFixed(3),
      sigmoid.toFixed(3),
      fit(printable(answer), 60),
    ]);
    stdout.write(table([["score", "σ(score)", "answer"].map((head) => style.dim(head)), ...lines]));
  },
});

// --- internal ---

/** What a line of the input says: an answer to score, or what is wrong with it. */
type Line = { readonly answer: Answered } | { readonly error: string };

/** Scores lines as they arrive, those that are waiting together. A bad line has an error for its score. */
async function scoreStream(scorer: Scorer, stdout: TextStream, signal: AbortSignal): Promise<void> {
  for await (const texts of arriving(readLines(undefined))) {
    signal.throwIfAborted();
    const results = await scoreLines(scorer, texts.map(lineOf), signal);
    stdout.write(results.map((result) => `${JSON.stringify(result)}\n`).join(""));
  }
}

function lineOf(text: string): Line {
  try {
    const record: unknown = JSON.parse(text);
    return isFields(record) ? { answer: answeredOf(record) } : { error: "the line is no JSON object" };
  } catch (error) {
    if (error instanceof SyntaxError) return { error: "the line is not JSON" };
    if (error instanceof CriaError) return { error: error.message };
    throw error;
  }
}

async function scoreLines(scorer: Scorer, lines: readonly Line[], signal: AbortSignal): Promise<object[]> {
  try {
    const answers = lines.flatMap((line) => ("answer" in line ? [line.answer] : []));
    const scores = (await scorer.score(answers, signal)).values();
    return lines.map((line) => ("answer" in line ? scored(scores.next().value!) : line));
  } catch (error) {
    if (!(error instanceof CriaError)) throw error;
    if (lines.length === 1) return [{ error: error.message }];
    // One of them cannot be a conversation: each by itself tells which.
    const results: object[] = [];
    for (const line of lines) results.push(...(await scoreLines(scorer, [line], signal)));
    return results;
  }
}

function scored(score: number): { score: number; sigmoid: number } {
  return { score, sigmoid: sigmoid(score) };
}

function sigmoid(score: number): number {
  return 1 / (1 + Math.exp(-score));
}
