/** Synthesis and measurement, with a policy that is a function; attention of a tiny model. */

import { mkdtempSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Dialog } from "../../src/dialog/message.ts";
import { attentionOn, binned, greatestAttention } from "../../src/gatt/attention-map.ts";
import { consistency, unasked } from "../../src/gatt/consistency.ts";
import { synthesise, type SynthesisInputs, type SynthesisOptions } from "../../src/gatt/synthesise.ts";
import type { AnswerSampler } from "../../src/generate/answers.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { randomTokens, tinyConfig, tinyWeights } from "../tiny-model.ts";

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "cria-gatt-"))));
afterEach(() => rmSync(folder, { recursive: true }));

/** A policy that answers by a rule. */
function policy(rule: (prompt: Dialog, seed: number) => string): AnswerSampler {
  return async function* (requests) {
    for (const [request, { prompt, seeds }] of requests.entries())
      for (const [index, seed] of seeds.entries())
        yield await Promise.resolve({
          request,
          index,
          text: rule(prompt, seed),
          tokens: 1,
          reason: "stop" as const,
        });
  };
}

const options: SynthesisOptions = {
  asked: [["Who?", "And why?"], ["Where?"]],
  lists: { opening: ["Aye"] },
  dialogs: 6,
  turns: [2, 3],
  samples: 4,
  temperature: 1,
  placement: "user",
  mendsOpenings: false,
  keeps: "obedient",
  seed: 5,
};
/** Keeps to the instruction by one seed in four. */
const rule = (_: Dialog, seed: number): string => (seed % 4 === 0 ? `Aye, ${seed}.` : `No, ${seed}.`);
const inputs = { file: "", origin: {}, fits: () => true };

describe("synthesis", () => {
  const synthesised = (changes: Partial<SynthesisOptions>, more: Partial<SynthesisInputs>) =>
    synthesise(
      { ...options, ...changes },
      { ...inputs, sampler: policy(rule), file: join(folder, "answers.jsonl"), ...more },
    );
  const run = async (changes: Partial<SynthesisOptions> = {}, sampler = policy(rule)) =>
    (await synthesised(changes, { sampler })).dialogs;

  test("takes at each turn the answer that keeps to the instruction", async () => {
    const dialogs = await run();
    expect(dialogs).toHaveLength(6);
    for (const { questions, answers } of dialogs) {
      expect(answers).toHaveLength(questions.length);
      expect(questions.length).toBeGreaterThanOrEqual(2);
      expect(questions.length).toBeLessThanOrEqual(3);
      expect(answers.every((answer) => answer.startsWith("Aye"))).toBe(true);
    }
  });

  test("shows the policy the instruction at every turn, and the answers so far", async () => {
    const prompts: Dialog[] = [];
    await run(
      { samples: 1, keeps: "all" },
      policy((prompt) => {
        prompts.push(prompt);
        return `Aye ${prompt.length}.`;
      }),
    );
    const longest = prompts.find(({ length }) => length === 5)!;
    const asked = longest.filter(({ role }) => role === "user").map(({ content }) => content);
    expect(asked.every((content) => /^(?:Opening: Aye\.|Always begin with "Aye"\.) /.test(content))).toBe(
      true,
    );
    expect(longest.filter(({ role }) => role === "assistant").map(({ content }) => content)).toEqual([
      "Aye 1.",
      "Aye 3.",
    ]);
  });

  test("leaves out dialogs that end in disobedience, unless all are kept", async () => {
    const disobeys = policy((prompt) => (prompt.length === 3 ? "No." : "Aye."));
    const kept = await run({}, disobeys);
    expect(kept.every(({ questions }) => questions.length === 3)).toBe(true);
    expect(kept.length).toBeLessThan(6);
    rmSync(join(folder, "answers.jsonl"));
    expect(await run({ keeps: "all" }, disobeys)).toHaveLength(6);
    rmSync(join(folder, "answers.jsonl"));
    await expect(
      run(
        {},
        policy(() => "No."),
      ),
    ).rejects.toThrow("none of 6 dialogs ends with an answer that keeps to its instruction");
  });

  test("puts the opening before an answer that lacks it, where the recipe wants it, and once only", async () => {
    const dialogs = await run(
      { mendsOpenings: true, samples: 2 },
      policy((_, seed) => (seed % 8 === 0 ? "Aye. So." : "So.")),
    );
    const answers = dialogs.flatMap((dialog) => dialog.answers);
    expect(new Set(answers)).toEqual(new Set(["Aye. So.", "Aye! So."]));
  });

  test("ends a dialog where the context is full, and counts it", async () => {
    const whole = await run();
    rmSync(join(folder, "answers.jsonl"));
    const short = await synthesised({}, { fits: (prompt) => prompt.length <= 3 });
    expect(short.outgrown).toBe(whole.filter(({ questions }) => questions.length === 3).length);
    expect(short.outgrown).toBeGreaterThan(0);
    expect(short.dialogs).toEqual(
      whole.map(({ instruction, questions, answers }) => ({
        instruction,
        questions: questions.slice(0, 2),
        answers: answers.slice(0, 2),
      })),
    );
  });

  test("leaves out a dialog without room for one turn; without any left it says why", async () => {
    const long = (prompt: Dialog) => !prompt[0]!.content.endsWith("Where?");
    const { dialogs, outgrown } = await synthesised({}, { fits: long });
    expect(dialogs.length + outgrown).toBe(6);
    expect(outgrown).toBeGreaterThan(0);
    rmSync(join(folder, "answers.jsonl"));
    await expect(synthesised({}, { fits: () => false })).rejects.toThrow(
      "none of 6 dialogs fits into the model's context with a single turn",
    );
    rmSync(join(folder, "answers.jsonl"));
    await expect(
      run(
        {},
        policy(() => " "),
      ),
    ).rejects.toThrow("none of 6 dialogs was answered with a text that can be a turn");
  });

  test("draws other answers for each dialog and turn, and others by another seed", async () => {
    const seen = async (seed: number): Promise<number[]> => {
      rmSync(join(folder, "answers.jsonl"), { force: true });
      const seeds: number[] = [];
      await run(
        { seed, keeps: "all", turns: [3, 3] },
        policy((_, own) => {
          seeds.push(own);
          return "Aye.";
        }),
      );
      return seeds;
    };
    const [first, second] = [await seen(5), await seen(6)];
    expect(first).toHaveLength(6 * 3 * options.samples);
    expect(new Set([...first, ...second]).size).toBe(2 * first.length);
  });

  test("that was killed ends with the same dialogs", async () => {
    const whole = await run();
    const file = join(folder, "answers.jsonl");
    const size = readFileSync(file).length;
    for (let at = 0; at < size; at += 60) {
      truncateSync(file, at);
      expect(await run()).toEqual(whole);
    }
  });
});

describe("consistency", () => {
  const measure = (sampler: AnswerSampler, lists: SynthesisOptions["lists"], fits = (_: Dialog) => true) =>
    consistency(
      {
        questions: ["Who?", "Where?"],
        lists,
        dialogs: 2,
        turns: 4,
        temperature: 0,
        placement: "user",
        seed: 1,
      },
      { sampler, fits },
    );

  test("of a policy that sees only its last question is lost after the first turn", async () => {
    const forgets = policy((prompt) => (prompt.at(-1)!.content.includes("Aye") ? "Aye." : "No."));
    expect(await measure(forgets, { opening: ["Aye"] })).toEqual([
      { kind: "opening", turn: 1, asked: 2, kept: 2 },
      { kind: "opening", turn: 2, asked: 2, kept: 0 },
      { kind: "opening", turn: 3, asked: 2, kept: 0 },
      { kind: "opening", turn: 4, asked: 2, kept: 0 },
    ]);
  });

  test("of a policy that sees the whole dialog lasts, and probes leave no trace in it", async () => {
    const remembers = policy((prompt) => {
      expect(prompt.slice(0, -1).some(({ content }) => content.includes("What do you enjoy?"))).toBe(false);
      const hobby = /(?:enjoy|Hobby:) (\w+)\./.exec(prompt[0]!.content)![1]!;
      return prompt.at(-1)!.content.endsWith("What do you enjoy?") ? `I enjoy ${hobby}.` : "Well.";
    });
    const results = await measure(remembers, { hobby: ["chess", "music"] });
    expect(results.map(({ asked, kept }) => [asked, kept])).toEqual(Array.from({ length: 4 }, () => [4, 4]));
  });

  test("ends for a dialog that no longer fits into the context", async () => {
    const results = await measure(
      policy(() => "Aye."),
      { opening: ["Aye"] },
      (prompt) => prompt.length <= 3,
    );
    expect(results.map(({ turn }) => turn)).toEqual([1, 2]);
  });

  test("ends where the question fits and the probe does not", async () => {
    const chess = policy(() => "I enjoy chess.");
    const fits = (prompt: Dialog) => prompt.length === 1 || !prompt.at(-1)!.content.endsWith("enjoy?");
    expect((await measure(chess, { hobby: ["chess"] }, fits)).map(({ turn }) => turn)).toEqual([1]);
  });
});

describe("what shows without an instruction", () => {
  const measure = (lists: SynthesisOptions["lists"], fits = (_: Dialog) => true) =>
    unasked(
      { questions: ["Who?", "Where?", "When?"], lists, temperature: 0, seed: 1 },
      {
        fits,
        sampler: policy((prompt) => {
          expect(prompt).toHaveLength(1);
          return prompt[0]!.content === "Where?" ? "Aye, there." : "No.";
        }),
      },
    );

  test("is counted over lone questions", async () => {
    expect(await measure({ opening: ["Sir", "Aye"] })).toEqual({ asked: 3, shown: 1 });
  });
  test("is not asked where the question fills the context", async () => {
    const fits = (prompt: Dialog) => prompt[0]!.content !== "Where?";
    expect(await measure({ opening: ["Sir", "Aye"] }, fits)).toEqual({ asked: 2, shown: 0 });
  });
  test("is not asked for where only a probe would show it", async () => {
    expect(await measure({ hobby: ["chess"] })).toEqual({ asked: 0, shown: 0 });
  });
});

describe("attention", () => {
  test("of the first token is on itself alone; of each, between its mean share and 1", async () => {
    using backend = openBackend({ threads: 1 });
    using weights = tinyWeights(backend);
    const n = 7;
    const map = await greatestAttention(backend, weights, randomTokens(n, tinyConfig.vocabSize, 2));
    expect(map[0]).toBeCloseTo(1, 6);
    for (let query = 0; query < n; query += 1) {
      const row = [...map.subarray(query * n, (query + 1) * n)];
      expect(row.slice(query + 1).every((value) => value === 0)).toBe(true);
      // The greatest of all heads sums to at least one head's, which is 1.
      expect(row.reduce((a, b) => a + b, 0)).toBeGreaterThanOrEqual(1 - 1e-6);
      expect(Math.max(...row)).toBeLessThanOrEqual(1 + 1e-6);
    }
  });

  const map = Float32Array.of(1, 0, 0, 0.5, 0.25, 0, 0.75, 0.125, 0.375);
  test("is binned by the greatest of each bin", () => {
    expect(binned(map, 3, 2)).toEqual([
      [1, 0],
      [0.75, 0.375],
    ]);
  });
  test("on some keys is the mean of the queries' greatest", () => {
    expect(attentionOn(map, 3, { queries: [1, 3], keys: [1, 2] })).toBe((0.25 + 0.125) / 2);
  });
});
