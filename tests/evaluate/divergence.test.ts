import { expect, test } from "vitest";
import { comparePredictions, divergence } from "../../src/evaluate/divergence.ts";
import { Decoder } from "../../src/model/decoder.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { randomTokens, tinyConfig, tinyWeights } from "../tiny-model.ts";

test("ids that neither model ever draws are no difference", () => {
  const [p, q] = [Float32Array.of(1, 0, -Infinity), Float32Array.of(1, 0, -Infinity)];
  expect(comparePredictions(p, q, 0).kl).toBe(0);
});

test("of a fair and a loaded coin", () => {
  // p = (1/2, 1/2), q = (3/4, 1/4): 1/2 log(2/3) + 1/2 log 2.
  const compared = comparePredictions(Float32Array.of(7, 7), Float32Array.of(Math.log(3), 0), 1);
  expect(compared.kl).toBeCloseTo(0.5 * Math.log(2 / 3) + 0.5 * Math.log(2), 6);
  expect(compared.loss).toBeCloseTo(Math.log(4), 6);
  expect(compared.referenceLoss).toBeCloseTo(Math.log(2), 6);
  expect(compared.isSameTop).toBe(true);
});

test("logits so large that their exponentials overflow are no matter", () => {
  const { kl, loss } = comparePredictions(Float32Array.of(1000, 999), Float32Array.of(-1000, -1001), 0);
  expect(kl).toBeCloseTo(0, 9);
  expect(loss).toBeCloseTo(Math.log(1 + Math.exp(-1)), 6);
});

test("a model is no distance from itself, and some from another; perplexity is that of the scored text", async () => {
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend);
  using others = tinyWeights(backend, tinyConfig, 2);
  const options = { contextTokens: 16, chunkTokens: 6 };
  using reference = new Decoder(backend, weights, options);
  using same = new Decoder(backend, weights, options);
  using other = new Decoder(backend, others, options);
  const ids = randomTokens(40, tinyConfig.vocabSize, 3);
  const own = await divergence(reference, same, ids, { bosId: 1 });
  expect(own).toMatchObject({ meanKl: 0, kl99: 0, sameTop: 1, tokens: 40 });
  let nats = 0;
  for (let from = 0; from < ids.length; from += 16) {
    const targets = ids.slice(from, from + 16);
    other.truncate(0);
    nats += await other.score(Int32Array.of(1, ...targets.slice(0, -1)), targets);
  }
  const found = await divergence(reference, other, ids, { bosId: 1 });
  expect(found.meanKl).toBeGreaterThan(0.1);
  expect(found.kl99).toBeGreaterThan(found.meanKl);
  expect(found.sameTop).toBeLessThan(1);
  expect(found.referencePerplexity).toBeCloseTo(own.perplexity, 6);
  expect(Math.log(found.perplexity)).toBeCloseTo(nats / 40, 4);
});
