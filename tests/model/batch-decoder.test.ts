import { describe, expect, test } from "vitest";
import { BatchDecoder, type SequenceStep } from "../../src/model/batch-decoder.ts";
import { Decoder } from "../../src/model/decoder.ts";
import { openBackend, type Backend } from "../../src/tensor/backend.ts";
import { randomTokens, relativeDifference, tinyConfig, tinyWeights } from "../tiny-model.ts";

const { vocabSize } = tinyConfig;

/** Sums of up to 64 products in another order, over two layers. */
const tolerance = 64 * 2 ** -24;

const last = (sequence: number, ...tokens: number[]): SequenceStep => ({ sequence, tokens, wants: "last" });

/** What a decoder of its own says after these tokens. */
async function alone(
  backend: Backend,
  weights: ReturnType<typeof tinyWeights>,
  tokens: ArrayLike<number>,
): Promise<Float32Array> {
  using decoder = new Decoder(backend, weights);
  return await decoder.read(tokens);
}

describe("a batch of sequences", () => {
  test("gives each the logits of a decoder of its own, through prefill and decoding", async () => {
    using backend = openBackend({ threads: 1 });
    using weights = tinyWeights(backend);
    using batch = new BatchDecoder(backend, weights, { cells: 512 });
    const texts = [1, 2, 3, 4, 5].map((seed) => Array.from(randomTokens(3 + 7 * seed, vocabSize, seed)));
    const sequences = texts.map(() => batch.open());
    const read = texts.map(() => [] as number[]);
    // Of different lengths, then one token each.
    for (const counts of [
      [4, 3, 9, 1, 20],
      [1, 1, 1, 1, 1],
      [1, 5, 1, 1, 1],
      [1, 1, 1, 1, 1],
    ]) {
      const steps = counts.map((count, i) => last(sequences[i]!, ...texts[i]!.splice(0, count)));
      for (const [i, { tokens }] of steps.entries()) read[i]!.push(...Array.from(tokens));
      const logits = await batch.step(steps);
      for (const [i, tokens] of read.entries())
        expect(relativeDifference(logits[i]!, await alone(backend, weights, tokens))).toBeLessThan(tolerance);
    }
    expect(sequences.map((sequence) => batch.length(sequence))).toEqual(read.map(({ length }) => length));
  });

  test("a step of two tokens gives the logits of the second", async () => {
    using backend = openBackend({ threads: 1 });
    using weights = tinyWeights(backend);
    using batch = new BatchDecoder(backend, weights, { cells: 64 });
    const [logits] = await batch.step([last(batch.open(), 5, 6)]);
    expect(relativeDifference(logits!, await alone(backend, weights, [5, 6]))).toBeLessThan(tolerance);
  });

  test("long ones too, which the kernel reads in tiles and the batch in chunks, beside short ones", async () => {
    using backend = openBackend({ threads: 1 });
    const config = { ...tinyConfig, maxSeqLen: 400 };
    using weights = tinyWeights(backend, config);
    using batch = new BatchDecoder(backend, weights, { cells: 1024, chunkTokens: 150 });
    const texts = [260, 2, 70, 330].map((length, i) => randomTokens(length, vocabSize, i));
    const steps = texts.map((tokens) => ({ sequence: batch.open(), tokens, wants: "last" }) as const);
    const logits = await batch.step(steps);
    for (const [i, tokens] of texts.entries())
      expect(relativeDifference(logits[i]!, await alone(backend, weights, tokens))).toBeLessThan(
        4 * tolerance,
      );
  });

  test("gives the logits that are asked for: none, the last's, or all", async () => {
    using backend = openBackend({ threads: 1 });
    using weights = tinyWeights(backend);
    using batch = new BatchDecoder(backend, weights, { cells: 64, chunkTokens: 4 });
    using decoder = new Decoder(backend, weights);
    const tokens = [5, 6, 7, 8, 9, 10];
    const expected = await decoder.readAll(tokens);
    const steps = (["none", "last", "all"] as const).map((wants) => ({
      sequence: batch.open(),
      tokens,
      wants,
    }));
    const [none, one, all] = await batch.step(steps);
    expect(none).toHaveLength(0);
    expect(relativeDifference(one!, expected.subarray(5 * vocabSize))).toBeLessThan(tolerance);
    expect(all).toHaveLength(6 * vocabSize);
    expect(relativeDifference(all!, expected)).toBeLessThan(tolerance);
  });

  test("does not depend on the company, bit for bit", async () => {
    using backend = openBackend({ threads: 1 });
    using weights = tinyWeights(backend, { ...tinyConfig, maxSeqLen: 128 });
    const text = randomTokens(90, vocabSize, 1);
    const say = async (company: number): Promise<Float32Array[]> => {
      using batch = new BatchDecoder(backend, weights, { cells: 1024 });
      const others = Array.from({ length: company }, () => batch.open());
      if (company > 0) await batch.step(others.map((sequence, i) => last(sequence, i, i + 1)));
      const sequence = batch.open();
      const [prefilled] = await batch.step([last(sequence, ...text)]);
      const decoded: Float32Array[] = [prefilled!.slice()];
      for (const token of [1, 2]) {
        const steps = others.map((other) => last(other, token));
        decoded.push((await batch.step([...steps, last(sequence, token)])).at(-1)!.slice());
      }
      return decoded;
    };
    const expected = await say(0);
    for (const company of [1, 2, 3, 7, 20]) expect(await say(company)).toEqual(expected);
  });
});

describe("a fork", () => {
  test("goes on from what it shares as a copy would, and takes no cells for it", async () => {
    using backend = openBackend({ threads: 1 });
    using weights = tinyWeights(backend);
    using batch = new BatchDecoder(backend, weights, { cells: 256 });
    const prompt = randomTokens(10, vocabSize, 1);
    const first = batch.open();
    await batch.step([{ sequence: first, tokens: prompt, wants: "none" }]);
    const [second, third] = [batch.fork(first), batch.fork(first, 4)];
    expect(batch.freeCells).toBe(246);
    expect([first, second, third].map((sequence) => batch.length(sequence))).toEqual([10, 10, 4]);
    await batch.step([last(first, 1), last(second, 2), last(third, 3)]);
    const logits = await batch.step([last(first, 4), last(second, 5), last(third, 6)]);
    const texts = [
      [...prompt, 1, 4],
      [...prompt, 2, 5],
      [...prompt.slice(0, 4), 3, 6],
    ];
    for (const [i, tokens] of texts.entries())
      expect(relativeDifference(logits[i]!, await alone(backend, weights, tokens))).toBeLessThan(tolerance);
  });

  test("keeps its cells when the sequence that it came from is closed or shortened", async () => {
    using backend = openBackend({ threads: 1 });
    using weights = tinyWeights(backend);
    using batch = new BatchDecoder(backend, weights, { cells: 256 });
    const first = batch.open();
    await batch.step([last(first, 1, 2, 3, 4)]);
    const fork = batch.fork(first, 3);
    batch.truncate(first, 1);
    expect(batch.freeCells).toBe(253);
    batch.close(first);
    expect(batch.freeCells).toBe(253);
    // Were the cells free, this would take them.
    await batch.step([last(batch.open(), 9, 9, 9, 9)]);
    const [logits] = await batch.step([last(fork, 5)]);
    expect(relativeDifference(logits!, await alone(backend, weights, [1, 2, 3, 5]))).toBeLessThan(tolerance);
    batch.close(fork);
    expect(batch.freeCells).toBe(252);
  });
});

describe("cells", () => {
  test("that are freed are used again, and what was in them is not seen", async () => {
    using backend = openBackend({ threads: 1 });
    using weights = tinyWeights(backend);
    using batch = new BatchDecoder(backend, weights, { cells: 256 });
    const keeper = batch.open();
    await batch.step([last(keeper, 7, 7)]);
    for (let round = 0; round < 12; round += 1) {
      const other = batch.open();
      const tokens = [...randomTokens(60, vocabSize, round)];
      const [, logits] = await batch.step([last(keeper, round), last(other, ...tokens)]);
      expect(relativeDifference(logits!, await alone(backend, weights, tokens))).toBeLessThan(tolerance);
      batch.close(other);
    }
    expect(batch.freeCells).toBe(256 - 14);
    const [logits] = await batch.step([last(keeper, 3)]);
    const text = [7, 7, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 3];
    expect(relativeDifference(logits!, await alone(backend, weights, text))).toBeLessThan(tolerance);
  });

  test("that are not there are refused before anything is read", async () => {
    using backend = openBackend({ threads: 1 });
    using weights = tinyWeights(backend, { ...tinyConfig, maxSeqLen: 1024 });
    using batch = new BatchDecoder(backend, weights, { cells: 256 });
    const sequence = batch.open();
    await batch.step([{ sequence, tokens: new Int32Array(200), wants: "none" }]);
    await expect(batch.step([last(sequence, 1), last(batch.open(), ...new Int32Array(56))])).rejects.toThrow(
      "57 tokens do not fit into 56 free cells of 256",
    );
    expect([batch.length(sequence), batch.freeCells]).toEqual([200, 56]);
    await batch.step([last(sequence, ...new Int32Array(56))]);
    expect(batch.freeCells).toBe(0);
  });
});

describe("wrong use", () => {
  test("is refused with what is wrong, and changes nothing", async () => {
    using backend = openBackend({ threads: 1 });
    using weights = tinyWeights(backend);
    using batch = new BatchDecoder(backend, weights, { cells: 256 });
    const sequence = batch.open();
    await batch.step([last(sequence, 1, 2)]);
    const refused: [readonly SequenceStep[], string][] = [
      [[last(99, 1)], "there is no open sequence 99"],
      [[last(sequence, 1), last(sequence, 2)], `sequence ${sequence} is twice in one step`],
      [[last(sequence)], `sequence ${sequence} has no tokens to read`],
      [[last(sequence, 48)], "token 48 is not one of 48 tokens"],
      [[last(sequence, -1)], "token -1 is not one of 48 tokens"],
      [[last(sequence, 1.5)], "token 1.5 is not one of 48 tokens"],
      [[last(sequence, ...new Int32Array(63))], "65 tokens do not fit into the context of 64"],
    ];
    for (const [steps, message] of refused) await expect(batch.step(steps)).rejects.toThrow(message);
    const back = `sequence ${sequence} has 2 tokens, and cannot go back to`;
    expect(() => batch.truncate(sequence, 3)).toThrow(`${back} 3`);
    expect(() => batch.truncate(sequence, -1)).toThrow(`${back} -1`);
    expect(() => batch.fork(sequence, 0.5)).toThrow(`${back} 0.5`);
    expect([batch.length(sequence), batch.freeCells]).toEqual([2, 254]);
    batch.close(sequence);
    for (const use of [() => batch.length(sequence), () => batch.fork(sequence), () => batch.close(sequence)])
      expect(use).toThrow(`there is no open sequence ${sequence}`);
  });

  test("is also to ask for sizes that are none", () => {
    using backend = openBackend({ threads: 1 });
    using weights = tinyWeights(backend);
    const make = (options: object) => () => new BatchDecoder(backend, weights, { cells: 1, ...options });
    expect(make({ cells: 0 })).toThrow("cells (0) is not a whole number from 1 up");
    expect(make({ cells: 1.5 })).toThrow("cells (1.5) is not a whole number from 1 up");
    expect(make({ chunkTokens: -1 })).toThrow("chunkTokens (-1) is not a whole number from 1 up");
    expect(make({ contextTokens: Number.NaN })).toThrow(
      "contextTokens (NaN) is not a whole number from 1 up",
    );
  });

  test("is also to change sequences while a step is under way", async () => {
    using backend = openBackend({ threads: 1 });
    using weights = tinyWeights(backend);
    using batch = new BatchDecoder(backend, weights, { cells: 256 });
    const sequence = batch.open();
    const step = batch.step([last(sequence, 1)]);
    await expect(batch.step([last(sequence, 2)])).rejects.toThrow("step while a step is under way");
    for (const use of [
      () => batch.truncate(sequence, 0),
      () => batch.fork(sequence),
      () => batch.close(sequence),
    ])
      expect(use).toThrow("while a step is under way");
    await step;
    expect(batch.length(sequence)).toBe(1);
  });
});

test("an aborted step leaves every sequence as it was", async () => {
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend);
  using batch = new BatchDecoder(backend, weights, { cells: 256, chunkTokens: 8 });
  const [first, second] = [batch.open(), batch.open()];
  await batch.step([last(first, 1, 2)]);
  const stop = new AbortController();
  const step = batch.step([last(first, 3), last(second, ...new Int32Array(40))], stop.signal);
  // The first chunk runs by now; the second is not begun.
  stop.abort(new Error("enough"));
  await expect(step).rejects.toThrow("enough");
  expect([batch.length(first), batch.length(second), batch.freeCells]).toEqual([2, 0, 254]);
  const [logits] = await batch.step([last(first, 3)]);
  expect(relativeDifference(logits!, await alone(backend, weights, [1, 2, 3]))).toBeLessThan(tolerance);
});
