import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Example } from "../../src/dialog/llama2-chat.ts";
import { packExamples } from "../../src/sft/pack.ts";
import { printed } from "../dialog/printed.ts";

const example = (tokens: readonly number[], mask: readonly number[]): Example => ({
  tokens: Int32Array.from(tokens),
  lossMask: Uint8Array.from(mask),
});
const options = { seqLen: 4, seed: 1, epoch: 0, padId: 0 };

/** Examples of distinct tokens from 1, the last half of each trained on. */
const examples = fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 20 }).map((lengths) => {
  let next = 1;
  return lengths.map((length) =>
    example(
      Array.from({ length }, () => next++),
      Array.from({ length }, (_, i) => (i >= length / 2 ? 1 : 0)),
    ),
  );
});

describe("packing", () => {
  test("lays examples end to end, cuts rows, and pads the last", () => {
    const only = example([1, 11, 12, 13, 2], [0, 0, 1, 1, 1]);
    expect(packExamples([only], { ...options, seqLen: 8 })).toEqual({
      rows: 1,
      seqLen: 8,
      tokens: Int32Array.of(1, 11, 12, 13, 2, 0, 0, 0),
      targets: Int32Array.of(11, 12, 13, 2, 0, 0, 0, 0),
      weights: Float32Array.of(0, 1, 1, 1, 0, 0, 0, 0),
      truncated: 0,
    });
  });

  test("takes the target at a row's end from the row after it", () => {
    const same = example([5, 6, 7], [0, 1, 1]);
    expect(packExamples([same, same], options)).toEqual({
      rows: 2,
      seqLen: 4,
      tokens: Int32Array.of(5, 6, 7, 5, 6, 7, 0, 0),
      targets: Int32Array.of(6, 7, 5, 6, 7, 0, 0, 0),
      weights: Float32Array.of(1, 1, 0, 1, 1, 0, 0, 0),
      truncated: 0,
    });
  });

  test("never weighs the first token of an example that follows another: nothing announces it", () => {
    const masked = example([9, 8], [0, 1]);
    const { targets, weights } = packExamples([masked, masked, masked], options);
    expect([...weights].filter((_, i) => targets[i] === 9)).toEqual([0, 0]);
  });

  test("loses no token and no weight, and keeps each example whole and in order", () => {
    fc.assert(
      fc.property(examples, fc.integer({ min: 12, max: 20 }), fc.nat(100), (all, seqLen, seed) => {
        const packed = packExamples(all, { seqLen, seed, epoch: 0, padId: 0 });
        const total = all.reduce((sum, { tokens }) => sum + tokens.length, 0);
        expect(packed.rows).toBe(Math.ceil(total / seqLen));
        expect(packed.truncated).toBe(0);
        expect([...packed.tokens].filter((id) => id !== 0).toSorted((a, b) => a - b)).toEqual(
          Array.from({ length: total }, (_, i) => i + 1),
        );
        for (const { tokens, lossMask } of all) {
          const start = packed.tokens.indexOf(tokens[0]!);
          expect(packed.tokens.slice(start, start + tokens.length)).toEqual(tokens);
          for (const [i, id] of tokens.entries()) {
            if (start + i === 0) continue;
            expect(packed.targets[start + i - 1]).toBe(id);
            expect(packed.weights[start + i - 1]).toBe(lossMask[i]);
          }
        }
        // The first of all is a target nowhere; padding has no weight.
        expect(packed.targets.filter((id) => id !== 0)).toHaveLength(total - 1);
        expect([...packed.weights].filter((weight, i) => weight !== 0 && packed.targets[i] === 0)).toEqual(
          [],
        );
      }),
    );
  });

  test("cuts an example longer than a row at its end, and counts it", () => {
    const long = example([1, 2, 3, 4, 5, 6], [0, 0, 0, 1, 1, 1]);
    const fits = example([1, 2, 3, 4], [0, 0, 0, 1]);
    expect(packExamples([long], options)).toEqual({ ...packExamples([fits], options), truncated: 1 });
    expect(packExamples([long, long, fits], options).truncated).toBe(2);
    expect(packExamples([fits], options).truncated).toBe(0);
  });

  test("has weight 0 throughout where only users speak", () => {
    const { weights } = packExamples([example([1, 2, 3], [0, 0, 0])], options);
    expect([...weights]).toEqual([0, 0, 0, 0]);
  });
});

describe("the order", () => {
  const many = Array.from({ length: 50 }, (_, i) => example([i + 1], [1]));
  const orderOf = (seed: number, epoch: number): string =>
    packExamples(many, { ...options, seed, epoch }).tokens.join(" ");

  test("follows from the seed and the epoch", () => {
    expect(orderOf(1, 0)).toBe(orderOf(1, 0));
    expect(orderOf(1, 7)).toBe(orderOf(1, 7));
  });

  test("differs between epochs and between seeds, also where seed + epoch is the same", () => {
    const orders = [orderOf(0, 0), orderOf(0, 1), orderOf(0, 2), orderOf(1, 0), orderOf(1, 1), orderOf(2, 0)];
    expect(new Set(orders).size).toBe(6);
  });

  test("leaves the caller's array as it was", () => {
    const before = many.slice();
    orderOf(3, 0);
    expect(many).toEqual(before);
  });
});

describe("packing refuses", () => {
  const good = [example([1, 2], [0, 1])];

  test("no examples", () => {
    expect(printed(() => packExamples([], options))).toMatchInlineSnapshot(`
      "ConfigError: no examples to pack
        Give at least one dialog."
    `);
  });

  test("a mask of another length, or no tokens", () => {
    expect(printed(() => packExamples([...good, example([1, 2], [1])], options))).toMatchInlineSnapshot(`
      "ConfigError: example 2 has 2 tokens and a mask of 1
        Give one mask entry per token, and at least one token."
    `);
    expect(printed(() => packExamples([example([], [])], options))).toContain("example 1 has 0 tokens");
  });

  test("a row length, pad id or epoch that cannot be", () => {
    expect(printed(() => packExamples(good, { ...options, seqLen: 1 }))).toMatchInlineSnapshot(`
      "ConfigError: seqLen (1) is not a whole number from 2 to 1048576
        Set it to the model's context length or less."
    `);
    expect(printed(() => packExamples(good, { ...options, seqLen: 2 ** 40 }))).toContain(
      "seqLen (1099511627776)",
    );
    expect(printed(() => packExamples(good, { ...options, padId: -1 }))).toMatchInlineSnapshot(`
      "ConfigError: padId (-1) is not a token id
        Where the tokenizer has no pad token, give its EOS id: padding has weight 0."
    `);
    expect(printed(() => packExamples(good, { ...options, epoch: 0.5 }))).toMatchInlineSnapshot(`
      "ConfigError: epoch (0.5) is not a whole number from 0
        Count epochs from 0."
    `);
    expect(printed(() => packExamples(good, { ...options, seed: NaN }))).toContain("seed (NaN)");
  });
});
