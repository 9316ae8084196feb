/** Rejection sampling with a tiny model: the best answers are kept, and a run that was killed ends the same. */

import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Prompt } from "../../src/dialog/prompts.ts";
import { answerSampler, type AnswerSampler, type Opened } from "../../src/generate/answers.ts";
import {
  rejectionSampling,
  type RejectionOptions,
  type RejectionOutcome,
} from "../../src/rejection/rejection.ts";
import type { RewardFunction } from "../../src/reward/reward-function.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { tinyTokenizer } from "../dialog/tiny-tokenizer.ts";
import { tinyConfig, tinyWeights } from "../tiny-model.ts";
import { winnersOf } from "../../src/rejection/winners.ts";

const tokenizer = tinyTokenizer();
const config = { ...tinyConfig, vocabSize: tokenizer.vocabSize };

const prompts: readonly Prompt[] = ["Who?", "Why?", "Do it!"].map((content, i) => ({
  dialog: [{ role: "user", content }],
  isSafety: i === 2,
}));
const options: RejectionOptions = { prompts, temperatures: [0.8, 1.2], samples: 3, seed: 5, beside: [] };

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "cria-rejection-"))));
afterEach(() => rmSync(folder, { recursive: true }));

function openSampler(): Opened<AnswerSampler> {
  const backend = openBackend({ threads: 1 });
  const weights = tinyWeights(backend, config);
  return {
    run: answerSampler({ backend, weights, tokenizer }, { maxTokens: 5, topP: 1 }),
    [Symbol.dispose]() {
      weights[Symbol.dispose]();
      backend[Symbol.dispose]();
    },
  };
}

/** The more vowels, the better. */
const vowels: RewardFunction = (answers) =>
  Promise.resolve(Float64Array.from(answers, ({ answer }) => answer.match(/[aeiou]/g)?.length ?? 0));
const opened = <F>(run: F): Opened<F> => ({ run, [Symbol.dispose]() {} });

interface Changes {
  readonly options?: Partial<RejectionOptions>;
  readonly reward?: RewardFunction;
  readonly sampler?: () => Opened<AnswerSampler>;
  readonly origin?: string;
}

async function reject(name: string, changes: Changes = {}): Promise<RejectionOutcome & { tuned: string }> {
  const place = join(folder, name);
  mkdirSync(place, { recursive: true });
  let tuned = "";
  const outcome = await rejectionSampling(
    { ...options, ...changes.options },
    {
      openSampler: changes.sampler ?? openSampler,
      openReward: () => Promise.resolve(opened(changes.reward ?? vowels)),
      fineTune: (file) => {
        tuned = readFileSync(file, "utf8");
        return Promise.resolve("the model");
      },
      folder: place,
      origin: { samples: { sampler: changes.origin ?? "tiny" }, scores: { reward: "vowels" } },
      onEvent: () => {},
    },
  );
  return { ...outcome, tuned };
}

const linesOf = (name: string, file: string): string[] =>
  readFileSync(join(folder, name, file), "utf8")
    .trimEnd()
    .split("\n");
interface SampleLine {
  readonly prompt: number;
  readonly text: string;
}
const samplesOf = (name: string): SampleLine[] =>
  linesOf(name, "samples.jsonl")
    .slice(1)
    .flatMap((line) => (JSON.parse(line) as { samples: SampleLine[] }).samples);

test("each prompt's winner is the best of its answers at all temperatures, and is what is trained on", async () => {
  const { tuned, winners } = await reject("run");
  const samples = samplesOf("run");
  expect(samples).toHaveLength(3 * 2 * 3);
  const kept = readFileSync(winners, "utf8").trimEnd().split("\n");
  for (const [i, line] of kept.entries()) {
    const { messages, score } = JSON.parse(line) as { messages: { content: string }[]; score: number };
    const prompt = prompts.findIndex(({ dialog }) => dialog[0]!.content === messages[0]!.content);
    const of = samples.filter((sample) => sample.prompt === prompt);
    expect(score).toBe(Math.max(...of.map(({ text }) => text.match(/[aeiou]/g)?.length ?? 0)));
    expect(of.map(({ text }) => text)).toContain(messages[1]!.content);
    expect(JSON.parse(tuned.split("\n")[i]!)).toEqual({ messages });
  }
  expect(kept).toHaveLength(3);
});

test("of equal scores the first sample wins", () => {
  const prompts = [{ dialog: [{ role: "user" as const, content: "Who?" }], isSafety: false }];
  const sample = { prompt: 0, tokens: 1, reason: "stop" as const, score: 1 };
  const [winner] = winnersOf(
    [
      { ...sample, temperature: 0, k: 0, text: "First." },
      { ...sample, temperature: 1, k: 0, text: "Second." },
    ],
    { prompts, temperatures: [0.8, 1.2] },
  );
  expect(winner).toMatchObject({ temperature: 0.8, dialog: [{}, { content: "First." }] });
});

test("the reward is told which prompts are tagged", async () => {
  const tags: boolean[] = [];
  await reject("run", {
    reward: (answers) => {
      tags.push(...answers.map(({ isSafety }) => isSafety === true));
      return vowels(answers);
    },
  });
  expect(tags.filter((tag) => tag)).toHaveLength(6);
});

test("earlier winners and other dialogs are trained on as well, each dialog once", async () => {
  const first = await reject("first");
  const again = await reject("again", { options: { beside: [first.winners], seed: 6 } });
  const lines = again.tuned.trimEnd().split("\n");
  expect(lines).toHaveLength(again.dialogs);
  expect(new Set(lines).size).toBe(lines.length);
  for (const line of first.tuned.trimEnd().split("\n")) expect(lines).toContain(line);
});

describe("a run that was killed", () => {
  test("anywhere in its samples ends as if it had not been", async () => {
    const whole = await reject("whole");
    const path = join(folder, "whole", "samples.jsonl");
    const size = readFileSync(path).length;
    const expected = samplesOf("whole");
    // Cut at every 40th byte: between lines, within one, within the header.
    for (let at = 0; at < size; at += 40) {
      truncateSync(path, at);
      rmSync(join(folder, "whole", "scores.jsonl"));
      const resumed = await reject("whole");
      expect(samplesOf("whole")).toEqual(expected);
      expect(resumed.tuned).toBe(whole.tuned);
    }
  });

  test("samples the groups that it lacks, whole, and no others", async () => {
    // 160 answers a prompt: a group each.
    const many = { options: { samples: 80 } };
    const whole = await reject("whole", many);
    const path = join(folder, "whole", "samples.jsonl");
    const lines = readFileSync(path, "utf8").split("\n");
    expect(lines).toHaveLength(1 + 3 + 1);
    truncateSync(path, Buffer.byteLength(`${lines[0]}\n${lines[1]}\n`) + 10);
    rmSync(join(folder, "whole", "scores.jsonl"));
    let asked = 0;
    const sampler = (): Opened<AnswerSampler> => {
      const opened = openSampler();
      return {
        ...opened,
        run(requests, signal) {
          asked += requests.reduce((sum, { seeds }) => sum + seeds.length, 0);
          return opened.run(requests, signal);
        },
      };
    };
    const resumed = await reject("whole", { ...many, sampler });
    expect(asked).toBe(320);
    expect(readFileSync(path, "utf8").split("\n")).toEqual(lines);
    expect(resumed.tuned).toBe(whole.tuned);
  });

  test("in its scores asks the reward for what is missing only", async () => {
    // 480 answers: two groups of scores.
    const many = { options: { samples: 80 } };
    const whole = await reject("whole", many);
    const path = join(folder, "whole", "scores.jsonl");
    const lines = readFileSync(path, "utf8").split("\n");
    expect(lines).toHaveLength(1 + 2 + 1);
    truncateSync(path, lines[0]!.length + lines[1]!.length + 2);
    appendFileSync(path, '{"group":1,"sco');
    let calls = 0;
    const resumed = await reject("whole", {
      ...many,
      reward: (answers) => {
        calls += 1;
        return vowels(answers);
      },
    });
    expect(calls).toBe(1);
    expect(resumed.tuned).toBe(whole.tuned);
    expect(readFileSync(path, "utf8").split("\n")).toEqual(lines);
  });
});

describe("what cannot be", () => {
  test("another policy's samples are not gone on with", async () => {
    await reject("run");
    await expect(reject("run", { origin: "other" })).rejects.toThrow(
      'was begun otherwise: sampler was "tiny" and is "other"',
    );
  });

  test("a reward that is no number is refused", async () => {
    const reward: RewardFunction = (answers) =>
      Promise.resolve(new Float64Array(answers.length).fill(Number.NaN));
    await expect(reject("run", { reward })).rejects.toThrow(
      /the reward function returned \[NaN.*\] for \d+ answers/,
    );
  });

  test("blank answers only leave nothing to train on", async () => {
    const blank: AnswerSampler = async function* (requests) {
      for (const [request, { seeds }] of requests.entries())
        for (const index of seeds.keys())
          yield await Promise.resolve({ request, index, text: " ", tokens: 1, reason: "stop" as const });
    };
    await expect(reject("run", { sampler: () => opened(blank) })).rejects.toThrow(
      "none of the 18 samples is a text that can be trained on",
    );
  });
});
