import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRandom } from "../../src/corpus/random.ts";
import {
  checkSampling,
  createSampler,
  metaSampling,
  sample,
  type Mirostat,
  type SamplingOptions,
  type TokenConstraint,
} from "../../src/generate/sampling.ts";

const all: SamplingOptions = { temperature: 1, topK: 0, topP: 1 };
/** Probabilities 1/2, 1/4, 1/8, 1/8 for the tokens 2, 0, 1, 3. */
const logits = Float32Array.from([1 / 4, 1 / 8, 1 / 2, 1 / 8], Math.log);

/** The token for each of 16 draws spread evenly over [0, 1). */
function draws(options: SamplingOptions): number[] {
  return Array.from({ length: 16 }, (_, i) => sample(logits, options, () => (i + 0.5) / 16));
}

function counts(options: SamplingOptions): number[] {
  const found = draws(options);
  return [0, 1, 2, 3].map((token) => found.filter((drawn) => drawn === token).length);
}

describe("sampling", () => {
  test("at temperature 0 takes the most probable token, the first of equals", () => {
    expect(counts({ ...all, temperature: 0 })).toEqual([0, 0, 16, 0]);
    expect(sample(Float32Array.of(1, 3, 3), { ...all, temperature: 0 }, () => 0.99)).toBe(1);
  });

  test("at temperature 1 draws each token as often as it is probable", () => {
    expect(counts(all)).toEqual([4, 2, 8, 2]);
  });

  test("at temperature 1/2 squares the odds: 4 : 1 : 16 : 1 in 22", () => {
    // 16 draws: 16/22 of them is 11.6, 4/22 is 2.9, 1/22 is 0.7.
    expect(counts({ ...all, temperature: 0.5 })).toEqual([3, 1, 11, 1]);
  });

  test("top-k keeps the k most probable: odds 2 : 1 for two", () => {
    expect(counts({ ...all, topK: 2 })).toEqual([5, 0, 11, 0]);
    expect(counts({ ...all, topK: 1 })).toEqual([0, 0, 16, 0]);
  });

  test("top-p keeps a token whose predecessors sum to exactly p", () => {
    // At this temperature a logit of -n has the mass 2^-n without rounding: 1/2, 1/4, 1/8, 1/8.
    const halves = { ...all, temperature: Math.LOG2E, topP: 0.5 };
    const found = [0.1, 0.6, 0.7, 0.99].map((u) => sample(Float32Array.of(0, -1, -2, -2), halves, () => u));
    expect(found).toEqual([0, 0, 1, 1]);
  });

  test("top-p keeps the token that crosses p, and drops those after it", () => {
    // Before token 0 stand 1/2 <= 0.6, before token 1 stand 3/4 > 0.6.
    expect(counts({ ...all, topP: 0.6 })).toEqual([5, 0, 11, 0]);
    expect(counts({ ...all, topP: 0.4 })).toEqual([0, 0, 16, 0]);
  });
});

/** The sampler that this one replaced: it sorts all tokens, and has temperature, top-k and top-p only. */
function sampleBySorting(logits: Float32Array, options: SamplingOptions, u: number): number {
  const order = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b);
  if (options.temperature === 0 || options.topK === 1) return order[0]!;
  const max = logits[order[0]!]!;
  const isOrdered = options.topK > 0 || options.topP < 1;
  const ids = (isOrdered ? order : [...logits.keys()]).slice(0, options.topK || logits.length);
  const masses = ids.map((id) => Math.exp((logits[id]! - max) / options.temperature));
  const limit = options.topP * sum(masses);
  let kept = 0;
  let count = 0;
  for (; count < ids.length && (count === 0 || kept <= limit); count += 1) kept += masses[count]!;
  let rest = u * kept;
  const place = masses.slice(0, count).findIndex((mass) => (rest -= mass) < 0);
  return ids[place < 0 ? count - 1 : place]!;
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}

interface Used {
  readonly prompt?: readonly number[];
  readonly generated?: readonly number[];
}

/** The probability of each token, from the papers' formulas in float64, by sorting. */
function probabilities(logits: Float32Array, options: SamplingOptions, used: Used = {}): number[] {
  const { temperature, topK, topP, minP = 0, typicalP = 1 } = options;
  const scores = adjusted(logits, options, used);
  const max = Math.max(...scores);
  let masses = scores.map((score) => Math.exp((score - max) / temperature));
  const normalise = (): void => {
    const total = sum(masses);
    masses = masses.map((mass) => mass / total);
  };
  const keep = (ids: readonly number[]): void => {
    masses = masses.map((mass, id) => (ids.includes(id) ? mass : 0));
    normalise();
  };
  const alive = (): number[] => [...masses.keys()].filter((id) => masses[id]! > 0);
  const upTo = (share: number, order: readonly number[]): number[] =>
    order.filter((_, place) => sum(order.slice(0, place).map((id) => masses[id]!)) <= share);
  const likeliest = (): number[] => alive().sort((a, b) => masses[b]! - masses[a]! || a - b);
  normalise();
  if (topK > 0) keep(likeliest().slice(0, topK));
  if (typicalP < 1) {
    const surprise = masses.map((mass) => -Math.log(mass));
    const entropy = sum(alive().map((id) => masses[id]! * surprise[id]!));
    const distance = (id: number): number => Math.abs(surprise[id]! - entropy);
    keep(
      upTo(
        typicalP,
        alive().sort((a, b) => distance(a) - distance(b)),
      ),
    );
  }
  if (topP < 1) keep(upTo(topP, likeliest()));
  if (minP > 0) {
    const least = minP * Math.max(...masses);
    keep(alive().filter((id) => masses[id]! >= least));
  }
  return masses;
}

function adjusted(logits: Float32Array, options: SamplingOptions, used: Used): number[] {
  const { prompt = [], generated = [] } = used;
  const { repeatPenalty = 1, repeatLastN = 64, presencePenalty = 0, frequencyPenalty = 0 } = options;
  const text = [...prompt, ...generated];
  const window = repeatLastN < 0 ? text : text.slice(Math.max(0, text.length - repeatLastN));
  return Array.from(logits, (logit, id) => {
    const biased = logit + (options.logitBias?.get(id) ?? 0);
    const isRepeated = window.includes(id);
    const penalised = isRepeated ? (biased > 0 ? biased / repeatPenalty : biased * repeatPenalty) : biased;
    const count = generated.filter((other) => other === id).length;
    return penalised - count * frequencyPenalty - (count > 0 ? presencePenalty : 0);
  });
}

/**
 * How often each token comes of `draws` that are spread evenly over [0, 1). Each token has one interval of [0, 1), so
 * its count is less than 1 from its expected one.
 */
function evenCounts(logits: Float32Array, options: SamplingOptions, used: Used, draws: number): number[] {
  let draw = 0;
  const sampler = createSampler(options, logits.length, () => (draw + 0.5) / draws);
  sampler.read(used.prompt ?? []);
  for (const id of used.generated ?? []) sampler.accept(id);
  const found = new Array<number>(logits.length).fill(0);
  for (; draw < draws; draw += 1) found[sampler.sample(logits)]! += 1;
  return found;
}

/** Of a standard normal distribution, times a deviation. */
function randomLogits(vocabSize: number, seed: number, deviation: number): Float32Array {
  const random = createRandom(seed);
  return Float32Array.from(
    { length: vocabSize },
    () => deviation * Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next()),
  );
}

const someLogits = fc.record({
  vocabSize: fc.integer({ min: 1, max: 70 }),
  seed: fc.integer({ min: 0, max: 1e6 }),
  deviation: fc.constantFrom(1e-4, 0.3, 2, 10),
});
/**
 * Coarse and off the round numbers, so that no draw and no limit lies within a rounding error of the border between
 * two tokens: four equal ones have theirs at 0.25.
 */
const share = fc.nat(999).map((thousandths) => (thousandths + 0.3717258) / 1000);
const shareOr = (off: number) => fc.oneof(fc.constant(off), share);
const unit = fc.nat(999_999).map((millionths) => (millionths + 0.3717258) / 1e6);

describe("without sorting", () => {
  test("temperature, top-k and top-p draw the tokens that sorting drew", () => {
    fc.assert(
      fc.property(
        // Whole eighths have ties, and normal ones many tokens that are nearly equal.
        fc.oneof(
          fc
            .array(fc.integer({ min: -40, max: 40 }), { minLength: 1, maxLength: 50 })
            .map((eighths) => Float32Array.from(eighths, (eighth) => eighth / 8)),
          someLogits.map(({ vocabSize, seed, deviation }) => randomLogits(20 * vocabSize, seed, deviation)),
        ),
        fc.constantFrom(0, 0.01, 0.6, 1, 1.7, 50),
        fc.constantFrom(0, 1, 2, 7, 40, 1000, 10_000),
        shareOr(1),
        unit,
        (logits, temperature, topK, topP, u) => {
          const options = { temperature, topK, topP };
          expect(sample(logits, options, () => u)).toBe(sampleBySorting(logits, options, u));
        },
      ),
      { numRuns: 600 },
    );
  });

  test.each([
    ["no spread at all", 0],
    ["a spread below the resolution of the bins", 1e-4],
    ["a spread of two nats", 2],
  ])("32 000 logits with %s draw the tokens that sorting drew", (_title, deviation) => {
    const logits = randomLogits(32_000, 1, deviation);
    for (const u of [0, 0.1, 0.5, 0.77, 0.999]) {
      for (const options of [{ ...all, topP: 0.9 }, { ...all, topK: 1001 }, { ...all, topP: 0.01 }, all])
        expect(sample(logits, options, () => u)).toBe(sampleBySorting(logits, options, u));
    }
  });

  test("a draw of the largest number below 1 is the last token that is kept", () => {
    const largest = 1 - 2 ** -53;
    expect(sample(logits, all, () => largest)).toBe(3);
    expect(sample(logits, { ...all, topK: 3 }, () => largest)).toBe(1);
  });
});

describe("every combination", () => {
  test("draws a token that can be drawn, at any temperature and of any logits", () => {
    const inf = Number.NEGATIVE_INFINITY;
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(fc.float({ noNaN: true, max: Math.fround(3e38) }), fc.constantFrom(inf, 0, 1e-45)),
          {
            minLength: 1,
            maxLength: 40,
          },
        ),
        fc.constantFrom(0, 1e-300, 1e-9, 1, 1e9, 1e300),
        fc.record({ topK: fc.nat(5), topP: share, minP: fc.constantFrom(0, 0.5, 1), typicalP: share }),
        fc.constantFrom(0, 0.5, 1 - 2 ** -53),
        (values, temperature, filters, u) => {
          const logits = Float32Array.from([...values, 0]);
          const possible = (id: number): void => {
            expect(Number.isInteger(id)).toBe(true);
            expect(logits[id]).toBeGreaterThan(inf);
          };
          possible(sample(logits, { temperature, ...filters }, () => u));
          if (temperature === 0) return;
          const mirostat = { tau: 3, eta: 0.1 };
          possible(sample(logits, { ...all, temperature, mirostat }, () => u));
        },
      ),
      { numRuns: 500 },
    );
  });

  test("draws each token as often as the formulas say, to less than one draw", () => {
    fc.assert(
      fc.property(
        someLogits,
        fc.record({
          temperature: fc.constantFrom(0.3, 1, 2),
          topK: fc.constantFrom(0, 2, 5, 30),
          topP: shareOr(1),
          minP: fc.constantFrom(0, 0.05, 0.5),
          typicalP: shareOr(1),
          repeatPenalty: fc.constantFrom(1, 1.3, 0.8),
          repeatLastN: fc.constantFrom(0, 1, 3, 64, -1),
          presencePenalty: fc.constantFrom(0, 0.7, -0.5),
          frequencyPenalty: fc.constantFrom(0, 0.2),
        }),
        fc.array(fc.nat(9), { maxLength: 6 }),
        fc.array(fc.nat(9), { maxLength: 6 }),
        ({ vocabSize, seed, deviation }, options, prompt, generated) => {
          const logits = randomLogits(vocabSize + 10, seed, deviation);
          const used = { prompt, generated };
          const found = evenCounts(logits, options, used, 256);
          const expected = probabilities(logits, options, used);
          const worst = Math.max(...found.map((count, id) => Math.abs(count - 256 * expected[id]!)));
          expect(worst).toBeLessThan(1.001);
        },
      ),
      { numRuns: 400 },
    );
  });

  // χ² of 19 degrees of freedom is above 50 once in 7000 seeds.
  test.each<[string, Partial<SamplingOptions>]>([
    ["temperature", { temperature: 0.7 }],
    ["top-k", { topK: 6 }],
    ["top-p", { topP: 0.8 }],
    ["min-p", { minP: 0.1 }],
    ["typical-p", { typicalP: 0.7 }],
    ["a bias", { logitBias: new Map([[3, 1.5]]) }],
    ["all filters", { temperature: 1.2, topK: 15, typicalP: 0.95, topP: 0.9, minP: 0.02 }],
  ])("by %s, 20 000 seeded draws have a χ² below 50", (_title, options) => {
    const logits = randomLogits(20, 5, 1);
    const random = createRandom(9);
    const sampler = createSampler({ ...all, ...options }, 20, () => random.next());
    const found = new Array<number>(20).fill(0);
    for (let i = 0; i < 20_000; i += 1) found[sampler.sample(logits)]! += 1;
    const expected = probabilities(logits, { ...all, ...options });
    const terms = found.map((count, id) => {
      const mean = 20_000 * expected[id]!;
      if (mean === 0) expect(count).toBe(0);
      return mean === 0 ? 0 : (count - mean) ** 2 / mean;
    });
    expect(sum(terms)).toBeLessThan(50);
  });
});

describe("min-p", () => {
  test("keeps tokens of at least this share of the largest: 1/4 of 1/2 is 1/8", () => {
    expect(counts({ ...all, minP: 0.3 })).toEqual([5, 0, 11, 0]);
    expect(counts({ ...all, minP: 0.2 })).toEqual([4, 2, 8, 2]);
  });

  test("of 1 takes the most probable token", () => {
    expect(counts({ ...all, minP: 1 })).toEqual([0, 0, 16, 0]);
  });
});

describe("typical-p", () => {
  test("keeps the tokens whose surprise is nearest to the entropy, and may drop the most probable", () => {
    // Surprises 1, 2, 3, 3 bits, entropy 1.75: token 0 is 0.25 from it, token 2 0.75, the others 1.25.
    expect(counts({ ...all, typicalP: 0.2 })).toEqual([16, 0, 0, 0]);
    expect(counts({ ...all, typicalP: 0.5 })).toEqual([5, 0, 11, 0]);
  });

  test("keeps as many of 3000 tokens as the formula says, whatever the share", () => {
    // Many tokens in each bin, so that the limit is crossed among those that the bins alone cannot order.
    const many = randomLogits(3000, 3, 0.5);
    const total = many.reduce((sum, logit) => sum + Math.exp(logit), 0);
    const surprise = Array.from(many, (logit) => Math.log(total) - logit);
    const entropy = surprise.reduce((sum, nats) => sum + Math.exp(-nats) * nats, 0);
    const order = [...many.keys()].sort(
      (a, b) => Math.abs(surprise[a]! - entropy) - Math.abs(surprise[b]! - entropy),
    );
    for (const typicalP of [0.003, 0.01, 0.05, 0.2, 0.5, 0.9]) {
      let before = 0;
      const kept = order.filter((id) => {
        const isKept = before <= typicalP;
        before += Math.exp(-surprise[id]!);
        return isKept;
      });
      // The most probable and the least probable token that are kept.
      const ends = [kept.reduce((a, b) => (surprise[b]! < surprise[a]! ? b : a))];
      ends.push(kept.reduce((a, b) => (surprise[b]! > surprise[a]! ? b : a)));
      const drawn = [0, 1 - 2 ** -53].map((u) => sample(many, { ...all, typicalP }, () => u));
      expect(drawn).toEqual(ends);
    }
  });

  test("of equally surprising tokens keeps the lower ids", () => {
    const even = new Float32Array(10);
    const found = Array.from({ length: 20 }, (_, i) =>
      sample(even, { ...all, typicalP: 0.25 }, () => (i + 0.5) / 20),
    );
    expect([...new Set(found)]).toEqual([0, 1, 2]);
  });
});

describe("biases, bans and constraints", () => {
  test("a bias adds to the logit: log 4 makes 1/8 as probable as 1/2", () => {
    // Odds 2 : 4 : 4 : 1 in 11.
    expect(counts({ ...all, logitBias: new Map([[1, Math.log(4)]]) })).toEqual([3, 6, 6, 1]);
  });

  test("a bias of -Infinity bans a token, and so does the list of banned ones", () => {
    expect(counts({ ...all, logitBias: new Map([[2, Number.NEGATIVE_INFINITY]]) })).toEqual([8, 4, 0, 4]);
    expect(counts({ ...all, bannedIds: [2, 0] })).toEqual([0, 8, 0, 8]);
    expect(counts({ ...all, temperature: 0, bannedIds: [2] })).toEqual([16, 0, 0, 0]);
  });

  test("a bias of 100 forces a token", () => {
    expect(counts({ ...all, logitBias: new Map([[3, 100]]) })).toEqual([0, 0, 0, 16]);
  });

  test("nothing outside the mask is ever drawn", () => {
    fc.assert(
      fc.property(
        someLogits,
        fc.array(fc.nat(69), { minLength: 1, maxLength: 5 }),
        fc.record({ temperature: fc.constantFrom(0, 1), topK: fc.constantFrom(0, 3), topP: shareOr(1) }),
        unit,
        ({ vocabSize, seed, deviation }, places, options, u) => {
          const ids = places.map((place) => place % vocabSize);
          const constraint = maskOf(ids, vocabSize);
          const logits = randomLogits(vocabSize, seed, deviation);
          const before = logits.slice();
          const id = sample(logits, { ...options, typicalP: 0.9, constraint }, () => u);
          expect(ids).toContain(id);
          expect(logits).toEqual(before);
        },
      ),
    );
  });

  test("a mask of all tokens changes nothing, and neither does none", () => {
    const constraint = maskOf([...logits.keys()], 4);
    expect(counts({ ...all, constraint })).toEqual([4, 2, 8, 2]);
    expect(counts({ ...all, constraint: { ...constraint, allowed: () => undefined } })).toEqual([4, 2, 8, 2]);
  });

  test("a constraint is asked before each token and told of each that is accepted", () => {
    const heard: string[] = [];
    const bits = new Uint32Array(1);
    const constraint: TokenConstraint = {
      allowed: () => {
        heard.push("allowed");
        // Token 0, then 1, then 2.
        bits[0] = 1 << (heard.filter((event) => event === "allowed").length - 1);
        return bits;
      },
      accept: (id) => void heard.push(`accept ${id}`),
    };
    const sampler = createSampler({ ...all, constraint }, 4, () => 0.5);
    sampler.read([3]);
    for (let i = 0; i < 3; i += 1) sampler.accept(sampler.sample(logits));
    expect(heard).toEqual(["allowed", "accept 0", "allowed", "accept 1", "allowed", "accept 2"]);
  });
});

function maskOf(ids: readonly number[], vocabSize: number): TokenConstraint {
  const mask = new Uint32Array(Math.ceil(vocabSize / 32));
  for (const id of ids) mask[id >> 5]! |= 1 << (id & 31);
  return { allowed: () => mask, accept: () => {} };
}

describe("penalties", () => {
  const greedy = { ...all, temperature: 0 };

  test("a repeated token has a positive logit divided and a negative one multiplied", () => {
    // 3 / 2 < 2, and -1 · 2 < -1.5.
    const up = createSampler({ ...greedy, repeatPenalty: 2 }, 2, () => 0);
    up.read([0]);
    expect(up.sample(Float32Array.of(3, 2))).toBe(1);
    expect(up.sample(Float32Array.of(-1, -1.5))).toBe(1);
    expect(up.sample(Float32Array.of(3, 1))).toBe(0);
  });

  test("the repetition penalty looks back on the last n tokens, of the prompt too, and forgets older ones", () => {
    const sampler = createSampler({ ...greedy, repeatPenalty: 2, repeatLastN: 2 }, 4, () => 0);
    const best = (): number => sampler.sample(Float32Array.of(8, 7, 6, 5));
    sampler.read([0]);
    expect(best()).toBe(1);
    sampler.accept(1);
    expect(best()).toBe(2);
    // 0 is the third last now; 1 stands twice, once of them in the window when 2 comes.
    sampler.accept(1);
    expect(best()).toBe(0);
    sampler.accept(2);
    expect(best()).toBe(0);
    sampler.accept(3);
    expect(sampler.sample(Float32Array.of(0, 7, 6, 5))).toBe(1);
  });

  test("presence counts a generated token once, frequency each time, and neither the prompt", () => {
    const logits = Float32Array.of(1, 0);
    const presence = createSampler({ ...greedy, presencePenalty: 0.75 }, 2, () => 0);
    const frequency = createSampler({ ...greedy, frequencyPenalty: 0.75 }, 2, () => 0);
    for (const sampler of [presence, frequency]) {
      sampler.read([0, 0, 0]);
      sampler.accept(0);
      expect(sampler.sample(logits)).toBe(0);
      sampler.accept(0);
    }
    expect(presence.sample(logits)).toBe(0);
    expect(frequency.sample(logits)).toBe(1);
  });

  test("of 1, and over no tokens, a repetition penalty changes nothing", () => {
    for (const options of [{ repeatPenalty: 1 }, { repeatPenalty: 9, repeatLastN: 0 }]) {
      const sampler = createSampler({ ...greedy, ...options }, 2, () => 0);
      sampler.read([0]);
      expect(sampler.sample(Float32Array.of(3, 2.9))).toBe(0);
    }
  });

  test("nothing changes before a token is accepted", () => {
    const sampler = createSampler({ ...greedy, frequencyPenalty: 1 }, 2, () => 0);
    const twice = [sampler.sample(Float32Array.of(1, 0.5)), sampler.sample(Float32Array.of(1, 0.5))];
    expect(twice).toEqual([0, 0]);
    sampler.accept(0);
    expect(sampler.sample(Float32Array.of(1, 0.5))).toBe(1);
  });
});

describe("mirostat", () => {
  /** One token of the text, in float64 by sorting; returns its id, its surprise in bits and the next μ. */
  function reference(logits: Float32Array, { tau, eta }: Mirostat, mu: number, u: number) {
    const ids = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b);
    const masses = ids.map((id) => Math.exp(logits[id]!));
    const total = sum(masses);
    const kept = masses.filter((mass, place) => place === 0 || -Math.log2(mass / total) <= mu);
    let rest = u * sum(kept);
    const place = kept.findIndex((mass) => (rest -= mass) < 0);
    const surprise = Math.log2(sum(kept) / kept[place]!);
    return { id: ids[place]!, surprise, mu: mu - eta * (surprise - tau) };
  }

  test.each([2, 4, 6])("keeps a text of one distribution at %d bits a token", (tau) => {
    const logits = Float32Array.from({ length: 500 }, (_, rank) => -1.1 * Math.log(rank + 1));
    const mirostat = { tau, eta: 0.1 };
    const random = createRandom(3);
    const copy = createRandom(3);
    const sampler = createSampler({ ...all, mirostat }, 500, () => random.next());
    const surprises: number[] = [];
    let mu = 2 * tau;
    for (let i = 0; i < 1500; i += 1) {
      const step = reference(logits, mirostat, mu, copy.next());
      mu = step.mu;
      surprises.push(step.surprise);
      const id = sampler.sample(logits);
      sampler.accept(id);
      expect(id).toBe(step.id);
    }
    // The mean error is the change of μ over η and the tokens: |Δμ| < 10 bits gives 10 / (0.1 · 1400).
    expect(Math.abs(sum(surprises.slice(100)) / 1400 - tau)).toBeLessThan(0.08);
  });

  test("does not count a token that it did not draw", () => {
    const logits = Float32Array.of(0, 0, 0, 0, -3);
    const run = (forced: boolean): number[] => {
      const random = createRandom(1);
      const sampler = createSampler({ ...all, mirostat: { tau: 0.5, eta: 1 } }, 5, () => random.next());
      return Array.from({ length: 20 }, () => {
        const id = sampler.sample(logits);
        sampler.accept(id);
        // Another, and the same again.
        if (forced) for (const other of [4, id]) sampler.accept(other);
        return id;
      });
    };
    expect(run(true)).toEqual(run(false));
  });

  test("takes the temperature first", () => {
    const random = createRandom(1);
    const copy = createRandom(1);
    const mirostat = { tau: 1.5, eta: 0.3 };
    const logits = randomLogits(50, 2, 1);
    const sampler = createSampler({ ...all, temperature: 0.5, mirostat }, 50, () => random.next());
    const doubled = createSampler({ ...all, mirostat }, 50, () => copy.next());
    for (let i = 0; i < 30; i += 1) {
      const id = sampler.sample(logits);
      expect(id).toBe(doubled.sample(logits.map((logit) => 2 * logit)));
      sampler.accept(id);
      doubled.accept(id);
    }
  });
});

describe("what cannot be sampled is refused:", () => {
  const inf = Number.NEGATIVE_INFINITY;
  test.each<[string, Float32Array, Partial<SamplingOptions>, string]>([
    ["a NaN", Float32Array.of(0, Number.NaN), {}, "EngineError: the model's logit of token 1 is NaN"],
    [
      "an infinite logit",
      Float32Array.of(0, Number.POSITIVE_INFINITY),
      {},
      "EngineError: the model's logit of token 1 is Infinity",
    ],
    ["no logit", Float32Array.of(inf, inf), {}, "EngineError: all 2 logits of the model are -Infinity"],
    [
      "nothing allowed",
      Float32Array.of(0, 0),
      { bannedIds: [0, 1] },
      "ConfigError: biases, bans and the constraint leave none of 2 tokens",
    ],
    [
      "a mask that is too short",
      new Float32Array(33),
      { constraint: { allowed: () => new Uint32Array(1), accept: () => {} } },
      "ConfigError: a mask of 1 words does not fit a vocabulary of 33 tokens",
    ],
  ])("%s", (_title, logits, options, message) => {
    for (const temperature of [0, 1]) {
      const [name, text] = message.split(/: (.*)/s);
      expect(() => sample(logits, { ...all, temperature, ...options }, () => 0.5)).toThrow(
        expect.objectContaining({ name, message: text }),
      );
    }
  });

  test("logits of another vocabulary", () => {
    const sampler = createSampler(all, 3, () => 0);
    expect(() => sampler.sample(logits)).toThrow("4 logits, and the vocabulary has 3 tokens");
  });
});

describe("settings that cannot be are refused:", () => {
  test.each<[Partial<SamplingOptions>, string]>([
    [{ temperature: -1 }, "temperature (-1) is not a number from 0 up\n0 is greedy, 0.6 is Meta's."],
    [{ topK: 1.5 }, "top-k (1.5) is not a whole number from 0 up\n0 turns it off."],
    [{ topP: 0 }, "top-p (0) does not lie in (0, 1]\n1 turns it off."],
    [{ minP: 1.5 }, "min-p (1.5) does not lie in [0, 1]\n0 turns it off."],
    [{ minP: Number.NaN }, "min-p (NaN) does not lie in [0, 1]\n0 turns it off."],
    [{ typicalP: 0 }, "typical-p (0) does not lie in (0, 1]\n1 turns it off."],
    [{ repeatPenalty: 0 }, "repeat-penalty (0) does not lie in [0.01, 100]\n1 turns it off, 1.1 is usual."],
    [
      { repeatLastN: -2 },
      "repeat-last-n (-2) is not a whole number from -1 up\n64 is usual, -1 is all tokens, 0 none.",
    ],
    [
      { presencePenalty: Number.NaN },
      "presence-penalty (NaN) does not lie in [-100, 100]\n0 turns it off, 0.1 to 1 is usual.",
    ],
    [
      { frequencyPenalty: -101 },
      "frequency-penalty (-101) does not lie in [-100, 100]\n0 turns it off, 0.1 to 1 is usual.",
    ],
    [{ mirostat: { tau: 0, eta: 0.1 } }, "mirostat-tau (0) is not a number above 0\n5 bits is usual."],
    [{ mirostat: { tau: 5, eta: 2 } }, "mirostat-eta (2) does not lie in (0, 1]\n0.1 is usual."],
    [
      { mirostat: { tau: 5, eta: 0.1 }, temperature: 0 },
      "mirostat draws tokens, and temperature (0) takes the most probable one\n" +
        "Set the temperature to 1, or leave mirostat out.",
    ],
    [
      { mirostat: { tau: 5, eta: 0.1 }, topP: 0.9 },
      "mirostat and top-p (0.9) both say which tokens are kept\nSet top-p to 1, or leave mirostat out.",
    ],
    [
      { mirostat: { tau: 5, eta: 0.1 }, minP: 0.1 },
      "mirostat and min-p (0.1) both say which tokens are kept\nSet min-p to 0, or leave mirostat out.",
    ],
    [
      { logitBias: new Map([[4, Number.POSITIVE_INFINITY]]) },
      "the logit-bias of token 4 (Infinity) does not lie in [-1000000, 1000000]\n" +
        "100 forces a token, -Infinity bans it.",
    ],
    [
      { logitBias: new Map([[10, 1]]) },
      "logit-bias names token 10, and the vocabulary has 10\n`cria tokenizer encode` shows the ids of a text.",
    ],
    [
      { bannedIds: [-1] },
      "the list of banned tokens names a token -1, which is not a whole number from 0 up\n" +
        "`cria tokenizer encode` shows the ids of a text.",
    ],
  ])("%o", (options, message) => {
    const [text, mend] = message.split("\n");
    for (const refuse of [
      () => checkSampling({ ...all, ...options }, 10),
      () => createSampler({ ...all, ...options }, 10, () => 0),
    ])
      expect(refuse).toThrow(expect.objectContaining({ name: "ConfigError", message: text, mend }));
  });

  test("Meta's own are not", () => {
    expect(() => checkSampling(metaSampling)).not.toThrow();
  });
});
