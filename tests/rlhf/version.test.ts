/** What is measured of a version: two harmless prompts and one of safety, two answers each, judged by hand. */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Prompt } from "../../src/dialog/prompts.ts";
import type { AnswerSampler } from "../../src/generate/answers.ts";
import type { Judge } from "../../src/rlhf/judge.ts";
import { measureVersion, type PolicyAnswer, type VersionMetrics } from "../../src/rlhf/version.ts";

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "cria-version-"))));
afterEach(() => rmSync(folder, { recursive: true }));

const prompts: readonly Prompt[] = ["a", "b", "threaten"].map((content, i) => ({
  dialog: [{ role: "user", content }],
  isSafety: i === 2,
}));

/** Two answers to each prompt; blank is none. */
const said: Readonly<Record<string, readonly [string, string]>> = {
  a: ["good", "no"],
  b: ["fair", " "],
  threaten: ["no", "yes"],
};

/** "no" refuses, which a safety prompt wants; a judge that is asked says that every refusal is a false one. */
const judge: Judge = ({ answer, isSafety = false }) => ({
  score: { good: 1, fair: 0.5, no: isSafety ? 0.75 : 0.25, yes: 0.125 }[answer]!,
  isViolation: isSafety && answer === "yes",
  isFalseRefusal: answer === "no",
  criteria: {},
});

const sampler: AnswerSampler = async function* (requests) {
  for (const [request, { prompt, seeds }] of requests.entries())
    for (const index of seeds.keys()) {
      const text = said[prompt[0]!.content]![index]!;
      const reason = text === "yes" ? "length" : "stop";
      yield await Promise.resolve({ request, index, text, tokens: text.length, reason } as const);
    }
};

async function measured(rivals: Readonly<Record<string, string>> = {}): Promise<{
  metrics: VersionMetrics;
  compared: readonly PolicyAnswer[];
}> {
  let compared: readonly PolicyAnswer[] = [];
  const metrics = await measureVersion(
    { policy: "v1", prompts, samples: 2, temperature: 1, seed: 1, rivals },
    {
      openSampler: () => ({ run: sampler, [Symbol.dispose]() {} }),
      judge,
      openReward: () =>
        Promise.resolve({
          run: (answers) => Promise.resolve(Float64Array.from(answers, ({ answer }) => answer.length)),
          [Symbol.dispose]() {},
        }),
      divergence(_, answers) {
        compared = answers;
        return Promise.resolve({ perAnswer: 2, perToken: 1 });
      },
      folder,
      origin: { samples: {}, scores: {} },
    },
  );
  return { metrics, compared };
}

describe("a version", () => {
  test("is judged by harmless prompts for help, and by the others for safety", async () => {
    const { metrics } = await measured();
    // An answer that cannot stand as a turn scores 0.
    expect(metrics.helpfulness).toBe((1 + 0.25 + 0.5 + 0) / 4);
    expect(metrics.safety).toBe((0.75 + 0.125) / 2);
    expect(metrics.violations).toBe(1 / 2);
    // The refusal of the safety prompt is none that is counted.
    expect(metrics.falseRefusals).toBe(1 / 4);
    // The blank one has no reward.
    expect(metrics.rewards).toEqual({ harmless: (4 + 2 + 4) / 3, safety: (2 + 3) / 2 });
  });

  test("has its lengths, its ends and its variety measured over all answers", async () => {
    const { metrics } = await measured();
    expect(metrics.tokens).toBe((4 + 2 + 4 + 1 + 2 + 3) / 6);
    expect(metrics.finished).toBe(5 / 6);
    expect(metrics.distinct).toBe(1);
  });

  test("is compared with where it started along the answers that are turns", async () => {
    const { metrics, compared } = await measured();
    expect(metrics.kl).toEqual({ perAnswer: 2, perToken: 1 });
    expect(compared.map(({ text }) => text)).toEqual(["good", "no", "fair", "no", "yes"]);
  });

  test("neither wins against itself nor loses", async () => {
    const { metrics } = await measured();
    rmSync(join(folder, "answers.jsonl"));
    const again = await measured({ itself: metrics.judged });
    expect(again.metrics.wins["itself"]!.rate).toBe(0.5);
    expect(JSON.parse(readFileSync(metrics.judged, "utf8"))).toHaveLength(6);
  });
});
