import { describe, expect, test } from "vitest";
import { createRandom } from "../../../src/corpus/random.ts";
import { createSampler, type Mirostat } from "../../../src/generate/sampling.ts";
import { all, sum, randomLogits } from "./reference.ts";

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
