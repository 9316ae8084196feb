/** The plan of samples: what is asked for, with which seeds, and where each answer goes. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Prompt } from "../../src/dialog/prompts.ts";
import type { AnswerRequest, AnswerSampler } from "../../src/generate/answers.ts";
import { sampleAnswers, type Sample } from "../../src/rejection/sample.ts";

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "cria-sample-"))));
afterEach(() => rmSync(folder, { recursive: true }));

const prompts: readonly Prompt[] = Array.from({ length: 200 }, (_, i) => ({
  dialog: [{ role: "user", content: `question ${i}` }],
  isSafety: false,
}));
const plan = { prompts, temperatures: [0.5, 1], samples: 3 };

/** 200 prompts of 6 answers are five groups. */
async function sampled(seed: number): Promise<{ samples: Sample[]; asked: AnswerRequest[] }> {
  const asked: AnswerRequest[] = [];
  const sampler: AnswerSampler = async function* (requests) {
    asked.push(...requests);
    // The last is finished first.
    for (const [request, { prompt, temperature, seeds }] of [...requests.entries()].toReversed()) {
      for (const [index, own] of seeds.entries()) {
        const text = `${prompt[0]!.content} at ${temperature} by ${own}`;
        yield await Promise.resolve({ request, index, text, tokens: 1, reason: "stop" as const });
      }
    }
  };
  const file = join(folder, `${seed}.jsonl`);
  return { samples: await sampleAnswers({ ...plan, seed }, { sampler, file, origin: {} }), asked };
}

test("each sample has a seed of its own, in all groups and by all seeds of the plan", async () => {
  const seeds = (await Promise.all([1, 2, 3].map(sampled))).map(({ asked }) =>
    asked.flatMap((request) => request.seeds),
  );
  expect(seeds.map(({ length }) => length)).toEqual([1200, 1200, 1200]);
  expect(new Set(seeds.flat()).size).toBe(3600);
  expect(seeds.flat().every((seed) => Number.isSafeInteger(seed) && seed >= 0)).toBe(true);
  rmSync(folder, { recursive: true });
  folder = mkdtempSync(join(tmpdir(), "cria-sample-"));
  expect((await sampled(1)).asked.flatMap((request) => request.seeds)).toEqual(seeds[0]);
});

test("answers lie by prompt, temperature and k, in whatever order they are finished", async () => {
  const { samples, asked } = await sampled(1);
  expect(samples).toHaveLength(1200);
  for (const [i, { prompt, temperature, k, text }] of samples.entries()) {
    expect([prompt, temperature, k]).toEqual([Math.floor(i / 6), Math.floor(i / 3) % 2, i % 3]);
    const request = asked[Math.floor(i / 3)]!;
    expect(text).toBe(`question ${prompt} at ${plan.temperatures[temperature]} by ${request.seeds[k]}`);
  }
});
