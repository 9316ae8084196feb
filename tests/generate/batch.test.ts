import { describe, expect, test } from "vitest";
import { createRandom } from "../../src/corpus/random.ts";
import {
  generateBatch,
  type BatchAnswer,
  type BatchOptions,
  type BatchRequest,
} from "../../src/generate/batch.ts";
import { generateTokens } from "../../src/generate/generate.ts";
import { BatchDecoder } from "../../src/model/batch-decoder.ts";
import { Decoder } from "../../src/model/decoder.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { randomTokens, tinyConfig, tinyWeights } from "../tiny-model.ts";

const { vocabSize } = tinyConfig;
const options: BatchOptions = { temperature: 1, topK: 0, topP: 1, maxTokens: 8, stopIds: [0, 1, 2] };

/** Answers in the order of requests and seeds; the decoder must be as it was in the end. */
async function answersOf(
  requests: readonly BatchRequest[],
  { cells = 512, maxSequences = 8, chunkTokens = 512 } = {},
): Promise<BatchAnswer[]> {
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend);
  using decoder = new BatchDecoder(backend, weights, { cells, chunkTokens });
  const answers: BatchAnswer[] = [];
  for await (const answer of generateBatch(decoder, requests, { maxSequences })) answers.push(answer);
  expect(decoder.freeCells).toBe(decoder.cells);
  return answers.toSorted((a, b) => a.request - b.request || a.index - b.index);
}

const request = (seed: number, length: number, count: number, settings = options): BatchRequest => ({
  prompt: randomTokens(length, vocabSize, seed),
  seeds: Array.from({ length: count }, (_, i) => 100 * seed + i),
  options: settings,
});

describe("an answer", () => {
  test("at temperature 0 is what a decoder of its own says", async () => {
    const greedy = { ...options, temperature: 0, stopIds: [] };
    const requests = [1, 2, 3].map((seed) => request(seed, 4 * seed, 2, greedy));
    const answers = await answersOf(requests);
    expect(answers).toHaveLength(6);
    using backend = openBackend({ threads: 1 });
    using weights = tinyWeights(backend);
    for (const answer of answers) {
      using decoder = new Decoder(backend, weights);
      const alone: number[] = [];
      const { prompt } = requests[answer.request]!;
      const random = createRandom(1);
      for await (const token of generateTokens(decoder, prompt, { ...greedy, next: () => random.next() }))
        alone.push(token);
      expect([...answer.tokens]).toEqual(alone);
    }
  });

  test("follows from its own seed, whatever is generated beside it, in whichever order and room", async () => {
    const requests = [request(1, 5, 3), request(2, 20, 4), request(3, 1, 2), request(4, 40, 3)];
    const together = await answersOf(requests);
    const texts = new Set(together.map(({ tokens }) => tokens.join()));
    expect(texts.size).toBeGreaterThan(8);
    for (const [i, one] of requests.entries()) {
      const alone = await answersOf([one]);
      const among = together.filter((answer) => answer.request === i);
      expect(alone.map(({ tokens, reason }) => ({ tokens, reason }))).toEqual(
        among.map(({ tokens, reason }) => ({ tokens, reason })),
      );
    }
    const backwards = await answersOf(requests.toReversed(), { maxSequences: 3 });
    for (const answer of backwards) {
      const { tokens } = together.find(
        ({ request, index }) => request === 3 - answer.request && index === answer.index,
      )!;
      expect(answer.tokens).toEqual(tokens);
    }
  });

  test("is the same when its prompt does not fit into one pass with the others", async () => {
    const requests = [request(1, 20, 2), request(2, 20, 2), request(3, 7, 1), request(4, 30, 1)];
    const together = await answersOf(requests);
    expect(new Set(together.map(({ tokens }) => tokens.join())).size).toBe(6);
    expect(await answersOf(requests, { chunkTokens: 32 })).toEqual(together);
  });

  test("ends before a stop token, at its limit, or where the context is full", async () => {
    const answers = await answersOf([
      { ...request(1, 3, 20), options: { ...options, stopIds: [4, 5, 6, 7, 8, 9, 10, 11] } },
      { ...request(2, 60, 2), options: { ...options, stopIds: [] } },
      { ...request(3, 3, 1), options: { ...options, maxTokens: 0 } },
      { ...request(4, 63, 1), options: { ...options, maxTokens: 2, stopIds: [] } },
    ]);
    for (const { request: place, tokens, reason } of answers) {
      if (place === 0) {
        expect(reason).toBe(tokens.length === 8 ? "length" : "stop");
        expect([...tokens].every((id) => id < 4 || id > 11)).toBe(true);
      } else if (place === 1) {
        // Room for four, and the token after them is drawn though it cannot be read.
        expect([tokens.length, reason]).toEqual([5, "context"]);
      } else {
        expect([tokens.length, reason]).toEqual([place === 2 ? 0 : 2, "length"]);
      }
    }
    const reasons = answers.slice(0, 20).map(({ reason }) => reason);
    expect(new Set(reasons)).toEqual(new Set(["stop", "length"]));
  });

  test("waits until there are cells for all of it", async () => {
    // 256 cells, and each prompt takes 40 of them and 7 an answer.
    const requests = Array.from({ length: 6 }, (_, i) => request(i + 1, 40, 6));
    const answers = await answersOf(requests, { cells: 256, maxSequences: 36 });
    const roomy = await answersOf(requests, { cells: 1024, maxSequences: 36 });
    expect(answers).toHaveLength(36);
    expect(answers).toEqual(roomy);
  });
});

describe("a batch", () => {
  test("that is aborted ends at the next step, and leaves the decoder as it was", async () => {
    using backend = openBackend({ threads: 1 });
    using weights = tinyWeights(backend);
    using decoder = new BatchDecoder(backend, weights, { cells: 256 });
    const stop = new AbortController();
    const requests = [
      request(1, 5, 2),
      { ...request(2, 5, 3), options: { ...options, maxTokens: 50, stopIds: [] } },
    ];
    const answers = generateBatch(decoder, requests, { maxSequences: 8 }, stop.signal);
    await answers.next();
    stop.abort(new Error("enough"));
    await expect(answers.next().then(() => answers.next())).rejects.toThrow("enough");
    expect(decoder.freeCells).toBe(256);
  });

  test("whose listener leaves also leaves the decoder as it was", async () => {
    using backend = openBackend({ threads: 1 });
    using weights = tinyWeights(backend);
    using decoder = new BatchDecoder(backend, weights, { cells: 256 });
    for await (const answer of generateBatch(decoder, [request(1, 5, 6)], { maxSequences: 4 })) {
      expect(answer.request).toBe(0);
      break;
    }
    expect(decoder.freeCells).toBe(256);
  });

  test("that cannot be is refused before anything is generated", async () => {
    const refused: [BatchRequest, string][] = [
      [{ ...request(1, 1, 1), prompt: [] }, "prompt 1 has no tokens"],
      [request(1, 65, 1), "prompt 1 has 65 tokens, and the context 64"],
      [
        { ...request(1, 1, 1), options: { ...options, maxTokens: -1 } },
        "maxTokens (-1) is not a whole number",
      ],
      [{ ...request(1, 1, 1), options: { ...options, topP: 2 } }, "top-p (2) does not lie in (0, 1]"],
    ];
    for (const [bad, message] of refused)
      await expect(answersOf([request(1, 1, 1), bad])).rejects.toThrow(message);
    await expect(answersOf([], { maxSequences: 0 })).rejects.toThrow(
      "maxSequences (0) is not a whole number",
    );
    using backend = openBackend({ threads: 1 });
    using weights = tinyWeights(backend);
    using decoder = new BatchDecoder(backend, weights, { cells: 256 });
    const sequence = decoder.open();
    for (let i = 0; i < 4; i += 1) {
      const other = i === 0 ? sequence : decoder.open();
      await decoder.step([{ sequence: other, tokens: new Int32Array(60), wants: "none" }]);
    }
    const batch = generateBatch(decoder, [request(1, 10, 1)], { maxSequences: 1 });
    await expect(batch.next()).rejects.toThrow("prompt 0 and an answer take 17 cells, and 16 are free");
  });
});
