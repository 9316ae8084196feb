/** Answers that are sampled many at a time. */

import { describe, expect, test } from "vitest";
import { answerSampler, type AnswerRequest, type SampledAnswer } from "../../src/generate/answers.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { tinyTokenizer } from "../dialog/tiny-tokenizer.ts";
import { tinyConfig, tinyWeights } from "../tiny-model.ts";

const tokenizer = tinyTokenizer();
const config = { ...tinyConfig, vocabSize: tokenizer.vocabSize };

const ask = (content: string, seeds: readonly number[], temperature = 1): AnswerRequest => ({
  prompt: [{ role: "user", content }],
  temperature,
  seeds,
});

async function answers(requests: readonly AnswerRequest[], threads = 1): Promise<SampledAnswer[]> {
  using backend = openBackend({ threads });
  using weights = tinyWeights(backend, config);
  const sampler = answerSampler({ backend, weights, tokenizer }, { maxTokens: 6, topP: 1 });
  const found: SampledAnswer[] = [];
  for await (const answer of sampler(requests)) found.push(answer);
  return found.toSorted((a, b) => a.request - b.request || a.index - b.index);
}

describe("an answer", () => {
  test("follows from its seed, whatever is sampled beside it", async () => {
    const [alone] = await answers([ask("Who?", [7])]);
    const among = await answers([ask("Why?", [1, 2]), ask("Who?", [3, 7])]);
    expect(among.map(({ request, index }) => [request, index])).toEqual([
      [0, 0],
      [0, 1],
      [1, 0],
      [1, 1],
    ]);
    expect(among[3]!.text).toBe(alone!.text);
    expect(among[2]!.text).not.toBe(alone!.text);
  });

  test("is its own request's in whatever lane it is written: two threads write in two lanes", async () => {
    const requests = ["Who?", "Why?", "When?", "Where?", "How?"].map((question, i) =>
      ask(question, [i, i + 9]),
    );
    expect(await answers(requests, 2)).toEqual(await answers(requests));
  });

  test("at temperature 0 is the same for every seed", async () => {
    const found = await answers([ask("Who?", [1, 2], 0)]);
    expect(found[0]!.text).toBe(found[1]!.text);
  });

  test("has at most as many tokens as it may have, and says why it ended", async () => {
    for (const { tokens, reason } of await answers([ask("Who?", [1, 2, 3])])) {
      expect(tokens).toBeLessThanOrEqual(6);
      expect(reason).toBe(tokens === 6 ? "length" : "stop");
    }
  });
});
