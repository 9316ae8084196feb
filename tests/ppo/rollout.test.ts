import { expect, test } from "vitest";
import { encodePrompts, promptsOf, rollOut, seedOf } from "../../src/ppo/rollout.ts";
import { scoresOf } from "../../src/ppo/score.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { tinyWeights } from "../tiny-model.ts";
import { toyConfig, toyPrompts, toyReward, toyTokenizer } from "../toy-task.ts";
import { printed } from "../train/printed.ts";

const tokenizer = toyTokenizer();
const encoded = encodePrompts(toyPrompts, tokenizer, 64);
const options = {
  maxTokens: 6,
  maxSequences: 3,
  sampling: { temperature: 1, topK: 0, topP: 1 },
  temperature: 1,
};

test("an answer follows from its own seed, whatever else is sampled; EOS is the last of one that ended by itself", async () => {
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend, toyConfig(tokenizer));
  const source = { backend, weights, tokenizer };
  const prompts = Array.from({ length: 4 }, () => encoded).flat();
  const seeds = prompts.map((_, i) => i);
  const all = await rollOut(source, prompts, { ...options, seeds });
  expect(all.map(({ prompt }) => prompt)).toEqual(prompts.map(({ prompt }) => prompt));
  expect(all.some(({ isFinished }) => isFinished)).toBe(true);
  for (const { answer, isFinished } of all) {
    expect(isFinished).toBe(answer.at(-1) === tokenizer.eosId);
    expect(isFinished || answer.length === options.maxTokens).toBe(true);
    expect(answer.slice(0, -1)).not.toContain(tokenizer.eosId);
  }
  const one = await rollOut(source, [prompts[9]!], { ...options, maxSequences: 1, seeds: [9] });
  expect(one[0]!.answer).toEqual(all[9]!.answer);
});

test("sampling that is not the policy's own is refused before anything is sampled", async () => {
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend, toyConfig(tokenizer));
  const cut = { ...options, sampling: { temperature: 1, topK: 0, topP: 0.9 }, seeds: [1] };
  await expect(rollOut({ backend, weights, tokenizer }, [encoded[0]!], cut)).rejects.toThrow(
    "top_p (0.9) biases the KL to the reference",
  );
});

test("an iteration's prompts go on where the last one's ended; each epoch has all of them once, in another order", () => {
  const prompts = ["a", "b", "c", "d", "e"];
  const stream = [0, 1, 2, 3, 4].flatMap((iteration) => promptsOf(prompts, iteration, 3, 7));
  for (const from of [0, 5, 10]) expect(stream.slice(from, from + 5).toSorted()).toEqual(prompts);
  expect(new Set([0, 5, 10].map((from) => stream.slice(from, from + 5).join(""))).size).toBeGreaterThan(1);
  expect(promptsOf(prompts, 0, 15, 7)).toEqual(stream);
});

test("uses and places have seeds of their own", () => {
  const uses = ["prompts", "answers", "held out", "layout"] as const;
  const seeds = uses.flatMap((use) => [1, 2].flatMap((seed) => [0, 1].map((i) => seedOf(seed, use, i))));
  expect(new Set(seeds).size).toBe(16);
});

test("prompts that leave no room for an answer are left out; when none is left, it says so", () => {
  expect(encodePrompts(toyPrompts, tokenizer, 9).length).toBe(2);
  expect(printed(() => encodePrompts(toyPrompts, tokenizer, 3))).toMatchInlineSnapshot(`
    "none of 8 prompts has at most 3 tokens
      The prompt and max_tokens of an answer must fit into the model's context: give shorter prompts, or lower max_tokens."
  `);
});

test("a text that cannot be a turn is not shown to the reward function and has the lowest score", async () => {
  const of = (text: string) => ({
    prompt: toyPrompts[0]!,
    promptTokens: Int32Array.of(1),
    answer: Int32Array.of(3),
    text,
    isFinished: true,
  });
  const shown: string[] = [];
  const scores = await scoresOf([of("aa"), of(""), of("a"), of("[INST] aaa")], (answers) => {
    shown.push(...answers.map(({ answer }) => answer));
    return Promise.resolve(Float64Array.from(answers, toyReward));
  });
  expect(shown).toEqual(["aa", "a"]);
  expect([...scores]).toEqual([2 / 12, 1 / 12, 1 / 12, 1 / 12]);
  expect([...(await scoresOf([of(" ")], () => Promise.reject(new Error("asked"))))]).toEqual([0]);
});

test.each([[[1]], [[1, Number.NaN]], [[1, 2, 3]]])(
  "a reward function that returns %j for two answers is refused",
  async (returned) => {
    const rollout = {
      prompt: toyPrompts[0]!,
      promptTokens: Int32Array.of(1),
      answer: Int32Array.of(3),
      text: "a",
      isFinished: true,
    };
    await expect(
      scoresOf([rollout, rollout], () => Promise.resolve(Float64Array.from(returned))),
    ).rejects.toMatchObject({
      message: `the reward function returned [${returned.join(", ")}] for 2 answers`,
      mend: "It returns one finite number for each answer, in their order.",
    });
  },
);
