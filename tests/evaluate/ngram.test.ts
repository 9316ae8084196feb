import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRandom } from "../../src/corpus/random.ts";
import { type NgramModel, trainNgram } from "../../src/evaluate/ngram.ts";

/** p(token | context) from the difference of two scores. */
function probability(model: NgramModel, context: readonly number[], token: number): number {
  const whole = model.score(Int32Array.from([...context, token])).nats;
  return Math.exp(model.score(Int32Array.from(context)).nats - whole);
}

/** A text in which each token is likely to be followed by the few that its number suggests. */
function markovText(length: number, vocabSize: number, seed: number): Int32Array {
  const random = createRandom(seed);
  const text = new Int32Array(length);
  for (let i = 1; i < length; i += 1) {
    const guess = (text[i - 1]! * 7 + random.int(3)) % vocabSize;
    text[i] = random.next() < 0.8 ? guess : random.int(vocabSize);
  }
  return text;
}

describe("by hand", () => {
  test("bigrams of 0 1 0 1 0 2: one discount, 1 / (1 + 2 · 2) = 1/5, and continuation counts below", async () => {
    // c(01) = 2, c(02) = 1, c(0·) = 3. Each of 0, 1, 2 has one left neighbour, so D = 1 there and p(w) = 1/3.
    // p(1|0) = (2 - 1/5)/3 + (2/5)/3 · 1/3 = 29/45; p(2|0) = (1 - 1/5)/3 + 2/45 = 14/45; p(0|0) = 2/45.
    const model = await trainNgram(Int32Array.of(0, 1, 0, 1, 0, 2), { order: 2, vocabSize: 3 });
    expect(probability(model, [0], 1)).toBeCloseTo(29 / 45, 6);
    expect(probability(model, [0], 2)).toBeCloseTo(14 / 45, 6);
    expect(probability(model, [0], 0)).toBeCloseTo(2 / 45, 6);
    // 2 was never followed by anything: only the unigrams speak.
    expect(probability(model, [2], 1)).toBeCloseTo(1 / 3, 6);
    // p(0|1) = (2 - 1/5)/2 + (1/5)/2 · 1/3 = 14/15.
    expect(model.score(Int32Array.of(0, 1, 0))).toEqual({
      nats: expect.closeTo(-Math.log((29 / 45) * (14 / 15)), 6),
      tokens: 2,
    });
  });
  test("unigrams counted 1 1 1 1 2 2 3 4 times: n = 4, 2, 1, 1, so D = 1/2, 5/4 and 1", async () => {
    const tokens = Int32Array.of(0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 6, 7, 7, 7, 7);
    const model = await trainNgram(tokens, { order: 1, vocabSize: 16 });
    const unseen = (4 * 0.5 + 2 * 1.25 + 1 + 1) / 15 / 16;
    expect(probability(model, [0], 9)).toBeCloseTo(unseen, 6);
    expect(probability(model, [0], 2)).toBeCloseTo(0.5 / 15 + unseen, 6);
    expect(probability(model, [0], 5)).toBeCloseTo(0.75 / 15 + unseen, 6);
    expect(probability(model, [0], 6)).toBeCloseTo(2 / 15 + unseen, 6);
    expect(probability(model, [0], 7)).toBeCloseTo(3 / 15 + unseen, 6);
  });
  test("San Francisco: a word seen after one other only is unlikely after a new one, however frequent it is", async () => {
    // 9 always follows 8; 1, 2 and 3 follow one another.
    const text = Array.from({ length: 40 }, (_, i) => [1 + (i % 3), 8, 9, 1 + ((i * 2) % 3)]).flat();
    const model = await trainNgram(Int32Array.from(text), { order: 2, vocabSize: 12 });
    expect(probability(model, [5], 9)).toBeLessThan(probability(model, [5], 1) / 2);
  });
});

/** The definition, token by token over strings: slow and without any of the tables. */
function referenceProbability(text: readonly number[], order: number, vocabSize: number) {
  const countsOf = (n: number): Map<string, number> => {
    const seen = new Map<string, number>();
    const left = new Set<string>();
    for (let i = 0; i + n <= text.length; i += 1) {
      const gram = text.slice(i, i + n).join(" ");
      if (n === order) seen.set(gram, (seen.get(gram) ?? 0) + 1);
      else {
        const wider = i === 0 ? undefined : text.slice(i - 1, i + n).join(" ");
        if (wider === undefined || left.has(wider)) continue;
        left.add(wider);
        seen.set(gram, (seen.get(gram) ?? 0) + 1);
      }
    }
    return seen;
  };
  const counts = Array.from({ length: order }, (_, i) => countsOf(i + 1));
  const discounts = counts.map((seen) => {
    const [n1, n2, n3, n4] = [1, 2, 3, 4].map((r) => [...seen.values()].filter((c) => c === r).length) as [
      number,
      number,
      number,
      number,
    ];
    const y = n1 === 0 ? 0.5 : n1 / (n1 + 2 * n2);
    const d = [1 - (2 * y * n2) / n1, 2 - (3 * y * n3) / n2, 3 - (4 * y * n4) / n3];
    return n4 > 0 && d.every((x, i) => x > 0 && x <= i + 1) ? d : [y, y, y];
  });
  const p = (context: readonly number[], token: number): number => {
    const n = context.length + 1;
    const lower = n === 1 ? 1 / vocabSize : p(context.slice(1), token);
    const key = (w: number): string => [...context, w].join(" ");
    let [total, reserved] = [0, 0];
    for (let w = 0; w < vocabSize; w += 1) {
      const c = counts[n - 1]!.get(key(w)) ?? 0;
      if (c > 0) [total, reserved] = [total + c, reserved + discounts[n - 1]![Math.min(c, 3) - 1]!];
    }
    if (total === 0) return lower;
    const c = counts[n - 1]!.get(key(token)) ?? 0;
    const own = c === 0 ? 0 : c - discounts[n - 1]![Math.min(c, 3) - 1]!;
    return (own + reserved * lower) / total;
  };
  return (context: readonly number[], token: number) =>
    p(context.slice(Math.max(0, context.length - order + 1)), token);
}

test("agrees with the definition written down without tables, seen contexts and unseen, orders 1 to 5", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 120 }),
      fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 1, max: 5 }),
      async (text, context, order) => {
        const model = await trainNgram(Int32Array.from(text), { order, vocabSize: 6 });
        const expected = referenceProbability(text, order, 6);
        // Discounted counts are held in 32 bits: an error of 2^-24 relative to the total, at each order.
        for (let token = 0; token < 6; token += 1) {
          expect(probability(model, context, token)).toBeCloseTo(expected(context, token), 5);
        }
      },
    ),
    { numRuns: 200 },
  );
});

test("the probabilities of all tokens sum to 1 in any context", async () => {
  const vocabSize = 50;
  const text = markovText(20_000, vocabSize, 1);
  const model = await trainNgram(text, { order: 4, vocabSize: vocabSize + 3 });
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: vocabSize + 2 }), { minLength: 1, maxLength: 6 }),
      fc.nat(19_000),
      (made, at) => {
        for (const context of [made, Array.from(text.subarray(at, at + 5))]) {
          const sum = Array.from({ length: vocabSize + 3 }, (_, token) =>
            probability(model, context, token),
          ).reduce((a, b) => a + b);
          expect(sum).toBeCloseTo(1, 9);
        }
      },
    ),
    { numRuns: 50 },
  );
});

test("on held-out text it beats add-one smoothing", async () => {
  const vocabSize = 40;
  const text = markovText(6000, vocabSize, 1);
  const heldOut = markovText(2000, vocabSize, 2);
  const nats = async (order: number) => (await trainNgram(text, { order, vocabSize })).score(heldOut).nats;

  const pairs = new Float64Array(vocabSize * vocabSize).fill(1);
  const totals = new Float64Array(vocabSize).fill(vocabSize);
  for (let i = 1; i < text.length; i += 1) {
    pairs[text[i - 1]! * vocabSize + text[i]!]! += 1;
    totals[text[i - 1]!]! += 1;
  }
  let addOne = 0;
  for (let i = 1; i < heldOut.length; i += 1) {
    addOne -= Math.log(pairs[heldOut[i - 1]! * vocabSize + heldOut[i]!]! / totals[heldOut[i - 1]!]!);
  }
  const bigram = await nats(2);
  expect(bigram).toBeLessThan(addOne);
  expect(bigram).toBeLessThan((await nats(1)) * 0.8);
});

/** x_i = x_{i-1} + x_{i-2} mod 11, with one token in ten at random. */
function fibonacci(length: number, seed: number): Int32Array {
  const random = createRandom(seed);
  const text = Int32Array.of(1, 1, ...new Int32Array(length - 2));
  for (let i = 2; i < length; i += 1) {
    text[i] = random.int(10) === 0 ? random.int(11) : (text[i - 1]! + text[i - 2]!) % 11;
  }
  return text;
}

test("a token that depends on the two before it is told by trigrams, not by bigrams", async () => {
  const [text, heldOut] = [fibonacci(10_000, 1), fibonacci(1000, 2)];
  const perToken = async (order: number): Promise<number> => {
    const model = await trainNgram(text, { order, vocabSize: 11 });
    return model.score(heldOut).nats / 999;
  };
  expect(await perToken(2)).toBeGreaterThan(2);
  expect(await perToken(3)).toBeLessThan(1);
});

test("the same tokens give the same model, from 16 or 32 bits", async () => {
  const text = markovText(3000, 30, 5);
  const options = { order: 3, vocabSize: 30 };
  const heldOut = markovText(500, 30, 6);
  const [a, b] = [await trainNgram(text, options), await trainNgram(Uint16Array.from(text), options)];
  expect(b.score(heldOut)).toEqual(a.score(heldOut));
});

test("a text shorter than the order, and a score of one token or none, are well defined", async () => {
  const model = await trainNgram(Int32Array.of(3), { order: 5, vocabSize: 4 });
  expect(probability(model, [0], 1) + probability(model, [0], 3)).toBeCloseTo(0.5, 6);
  expect(model.score(Int32Array.of(3))).toEqual({ nats: 0, tokens: 0 });
  expect(model.score(new Int32Array())).toEqual({ nats: 0, tokens: 0 });
});

test("progress grows to 1", async () => {
  const done: number[] = [];
  await trainNgram(markovText(100, 10, 0), {
    order: 3,
    vocabSize: 10,
    onProgress: (part) => done.push(part),
  });
  expect(done).toEqual(done.toSorted((a, b) => a - b));
  expect(done.at(-1)).toBe(1);
});

function train(tokens: number[], order: number, vocabSize: number) {
  return trainNgram(Int32Array.from(tokens), { order, vocabSize });
}

test("what cannot be right is refused", async () => {
  await expect(train([], 2, 3)).rejects.toThrow("there are no tokens to train the n-gram model on");
  await expect(train([0, 1, 5], 2, 3)).rejects.toThrow("token 5 at position 2 is not in the vocabulary of 3");
  await expect(train([0], 0, 3)).rejects.toThrow(
    "the order of an n-gram model (0) is not a whole number from 1 to 10",
  );
  await expect(train([0], 2, 0)).rejects.toThrow(
    "the vocabulary size (0) is not a whole number from 1 to 2^31",
  );
  const model = await train([0, 1], 2, 3);
  expect(() => model.score(Int32Array.of(-1))).toThrow(
    "token -1 at position 0 is not in the vocabulary of 3",
  );
});
