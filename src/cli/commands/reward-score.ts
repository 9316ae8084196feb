/** `cria reward score`: what a reward model says of answers. */

import { readAnswered } from "../../reward/answered-file.ts";
import { openRewardModel } from "../../reward/scorer.ts";
import { defineCommand } from "../command.ts";
import { modelArguments } from "../model-options.ts";
import { fit, printable, table } from "../terminal.ts";

const { threads, device } = modelArguments;

export const rewardScore = defineCommand({
  details:
    'The file has an answer a line: {"prompt": "…", "answer": "…"}, the prompt a text or a list of messages, or ' +
    '{"messages": […]} ending with the answer. Scores are logits: their sigmoid is what the paper shows, and the larger ' +
    "the better. Answers are scored many at a time.",
  args: {
    model: { type: "positional", required: true, description: "A reward model's folder" },
    file: { type: "string", required: true, valueHint: "FILE", description: "Answers, in JSON lines" },
    threads,
    device,
    json: { type: "boolean", description: "Print a line of JSON for each answer" },
  },
  examples: [
    "cria reward score runs/reward-hh/checkpoints/step-00000073 --file answers.jsonl",
    "cria reward score runs/reward-hh/checkpoints/step-00000073 --file answers.jsonl --json",
  ],
  async run(args, { stdout, style, signal }) {
    const answers = readAnswered(args.file);
    using scorer = openRewardModel(args.model, {
      device: args.device,
      ...(args.threads === undefined ? {} : { threads: args.threads }),
    });
    const scores = await scorer.score(answers, signal);
    const rows = answers.map(({ answer }, i) => ({
      answer,
      score: scores[i]!,
      sigmoid: sigmoid(scores[i]!),
    }));
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

function sigmoid(score: number): number {
  return 1 / (1 + Math.exp(-score));
}
