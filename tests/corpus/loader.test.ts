import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createLoader, type LoaderState, validationWindows } from "../../src/corpus/loader.ts";

/** A stream whose token at each position is the position. */
function positions(tokens: number) {
  return {
    tokens,
    read(start: number, length: number, into: Int32Array) {
      expect(start >= 0 && start + length <= tokens).toBe(true);
      for (let i = 0; i < length; i += 1) into[i] = start + i;
    },
  };
}

const shape = fc
  .record({
    seqLen: fc.integer({ min: 1, max: 9 }),
    extra: fc.integer({ min: 1, max: 80 }),
    batchSize: fc.integer({ min: 1, max: 5 }),
    seed: fc.integer(),
  })
  .map(({ seqLen, extra, batchSize, seed }) => ({
    tokens: seqLen + extra,
    options: { seqLen, batchSize, seed },
  }));

describe("batches", () => {
  test("a target is the next token of the stream, in a circle", () => {
    fc.assert(
      fc.property(shape, ({ tokens, options }) => {
        const loader = createLoader(positions(tokens), options);
        for (let i = 0; i < 10; i += 1) {
          const batch = loader.next();
          expect(batch.tokens).toHaveLength(options.batchSize * options.seqLen);
          expect(batch.targets).toEqual(batch.tokens.map((token) => (token + 1) % tokens));
          for (let j = 1; j < options.seqLen; j += 1) expect(batch.tokens[j]).toBe(batch.targets[j - 1]);
        }
      }),
    );
  });
  test("in an epoch every token is a target once, but for the remainder that fills no sequence", () => {
    fc.assert(
      fc.property(shape, ({ tokens, options }) => {
        const loader = createLoader(positions(tokens), { ...options, batchSize: 1 });
        for (let epoch = 0; epoch < 3; epoch += 1) {
          const seen = new Set<number>();
          for (let i = 0; i < loader.sequencesPerEpoch; i += 1) {
            expect(loader.state.position === i || i === 0).toBe(true);
            for (const target of loader.next().targets) seen.add(target);
          }
          expect(seen.size).toBe(tokens - (tokens % options.seqLen));
        }
      }),
    );
  });
  test("epochs differ in their order and in where the stream is cut", () => {
    const loader = createLoader(positions(1000), { batchSize: 1, seqLen: 10, seed: 0 });
    const epoch = () => Array.from({ length: 100 }, () => loader.next().tokens[0]!);
    const [first, ...others] = Array.from({ length: 5 }, epoch) as [number[], ...number[][]];
    for (const other of others) expect(other).not.toEqual(first);
    expect(others.some((other) => other[0]! % 10 !== first[0]! % 10)).toBe(true);
    expect(first).not.toEqual(first.toSorted((a, b) => a - b));
  });
  test("the seed decides", () => {
    const shards = positions(100);
    const batches = (seed: number) => createLoader(shards, { batchSize: 4, seqLen: 5, seed }).next();
    expect(batches(1)).toEqual(batches(1));
    expect(batches(1)).not.toEqual(batches(2));
  });
});

describe("resuming", () => {
  test("from the state after any number of batches the same batches follow as without a stop", () => {
    fc.assert(
      fc.property(shape, fc.integer({ min: 0, max: 40 }), ({ tokens, options }, taken) => {
        const loader = createLoader(positions(tokens), options);
        for (let i = 0; i < taken; i += 1) loader.next();
        const state = JSON.parse(JSON.stringify(loader.state)) as LoaderState;
        const resumed = createLoader(positions(tokens), { ...options, seed: options.seed - 1 }, state);
        for (let i = 0; i < 10; i += 1) {
          expect(resumed.next()).toEqual(loader.next());
          expect(resumed.state).toEqual(loader.state);
        }
      }),
    );
  });
  test("a state counts sequences and epochs", () => {
    const loader = createLoader(positions(9), { batchSize: 3, seqLen: 2, seed: 0 });
    expect(loader.sequencesPerEpoch).toBe(4);
    loader.next();
    expect(loader.state).toMatchObject({ epoch: 0, position: 3 });
    loader.next();
    expect(loader.state).toMatchObject({ epoch: 1, position: 2 });
  });
  test("a state of a longer corpus is refused", () => {
    const { state } = createLoader(positions(100), { batchSize: 1, seqLen: 2, seed: 0 });
    expect(() =>
      createLoader(positions(10), { batchSize: 1, seqLen: 2, seed: 0 }, { ...state, position: 6 }),
    ).toThrow("cannot resume at sequence 6 of epoch 0: an epoch of this corpus has 5 sequences");
    expect(() =>
      createLoader(positions(10), { batchSize: 1, seqLen: 2, seed: 0 }, { ...state, epoch: -1 }),
    ).toThrow("cannot resume at sequence 0 of epoch -1");
  });
});

test("a corpus that is shorter than a sequence and its last target is refused", () => {
  const options = { batchSize: 1, seqLen: 8, seed: 0 };
  expect(() => createLoader(positions(8), options)).toThrow(
    "the corpus has 8 tokens, but a sequence of 8 needs 9",
  );
  expect(createLoader(positions(9), options).sequencesPerEpoch).toBe(1);
});

test("sizes of zero are refused", () => {
  expect(() => createLoader(positions(9), { batchSize: 0, seqLen: 8, seed: 0 })).toThrow(
    "batch_size (0) is not a whole number of at least 1",
  );
  expect(() => createLoader(positions(9), { batchSize: 1, seqLen: 1.5, seed: 0 })).toThrow(
    "seq_len (1.5) is not a whole number of at least 1",
  );
});

describe("validation windows", () => {
  test("predict every token but the first once, in order", () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 60 }), fc.integer({ min: 1, max: 20 }), (tokens, seqLen) => {
        const windows = [...validationWindows(positions(tokens), seqLen)];
        expect(windows.flatMap((window) => [...window.targets.subarray(window.from)])).toEqual(
          Array.from({ length: tokens - 1 }, (_, i) => i + 1),
        );
        for (const window of windows) {
          expect(window.tokens).toEqual(window.targets.map((target) => target - 1));
          expect(window.tokens.length).toBeLessThanOrEqual(seqLen);
          const context = window.targets[window.from]!;
          expect(window.from + 1).toBeGreaterThanOrEqual(Math.min(context, seqLen / 2));
        }
      }),
    );
  });
  test("of fewer than two tokens there is nothing to predict", () => {
    expect(() => [...validationWindows(positions(1), 4)]).toThrow(
      "the corpus has 1 tokens, but a sequence of 4 needs 2",
    );
  });
});
