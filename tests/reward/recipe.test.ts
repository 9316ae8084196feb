/** Defaults are the paper's, and the mix is what it says. */

import { expect, test } from "vitest";
import { createRandom } from "../../src/corpus/random.ts";
import { mixed } from "../../src/reward/mix.ts";
import { dataShareOf, RewardRecipe, safetyWeightOf } from "../../src/reward/recipe.ts";

const helpfulness = RewardRecipe.parse({ model: "m", data: ["d"] });
const safety = RewardRecipe.parse({ model: "m", data: ["d"], quality: "safety" });

test("the defaults are those of Llama 2 §3.2.2", () => {
  expect(helpfulness).toMatchObject({
    epochs: 1,
    lr: 1e-5,
    min_lr_ratio: 0.1,
    warmup_ratio: 0.03,
    min_warmup_steps: 5,
    batch_size: 512,
    beta1: 0.9,
    beta2: 0.95,
    eps: 1e-5,
    weight_decay: 0.1,
    grad_clip: 1,
  });
});

test("helpfulness takes half of its pairs from the rest and no safety loss, safety a tenth and the loss", () => {
  expect([dataShareOf(helpfulness), safetyWeightOf(helpfulness)]).toEqual([0.5, 0]);
  expect([dataShareOf(safety), safetyWeightOf(safety)]).toEqual([0.9, 1]);
  expect(dataShareOf({ ...safety, data_share: 0.7 })).toBe(0.7);
});

const count = (length: number, from = 0): number[] => Array.from({ length }, (_, i) => from + i);

test("the mix has all of its own pairs, and of the rest as many as its share leaves, each once", () => {
  const mix = mixed(count(90), count(100, 1000), 0.9, createRandom(1));
  expect(mix).toMatchObject({ drawn: 10, missing: 0 });
  expect(mix.pairs.slice(0, 90)).toEqual(count(90));
  expect(new Set(mix.pairs).size).toBe(100);
  expect(mixed(count(90), count(100, 1000), 0.5, createRandom(1))).toMatchObject({ drawn: 90 });
});

test("too few others are all taken, and it is said how many are missing", () => {
  expect(mixed(count(90), count(4, 1000), 0.9, createRandom(1))).toMatchObject({ drawn: 4, missing: 6 });
});

test("without others there is nothing to mix", () => {
  expect(mixed(count(9), [], 0.5, createRandom(1))).toEqual({ pairs: count(9), drawn: 0, missing: 0 });
});
