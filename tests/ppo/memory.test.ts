import { expect, test } from "vitest";
import type { ModelFiles } from "../../src/model/load.ts";
import { parameterCount } from "../../src/model/config.ts";
import { presetConfig } from "../../src/model/presets.ts";
import { checkMemory, estimateMemory } from "../../src/ppo/memory.ts";
import type { StoredWeight } from "../../src/model/stored-weight.ts";
import { printed } from "../train/printed.ts";

const config = presetConfig("llama-2-7b", 32_000);
const files = (type: StoredWeight["type"]): ModelFiles => ({
  format: "huggingface",
  path: "",
  config,
  head: "next-token",
  tensors: new Map([["w", { name: "w", type, shape: [1, 1], parts: [], axis: 0 }]]),
});
const plan = { valueConfig: config, lanes: 1, cacheTokens: 1024 } as const;

test("a trained model is four numbers a parameter; a reference that can be mapped is none", () => {
  const four = 16 * parameterCount(config);
  expect(estimateMemory({ ...plan, files: files("bf16"), precision: "bf16" })).toEqual({
    policy: four,
    "value function": four,
    reference: 0,
    cache: 4 * 2 * 32 * 4096 * 1024,
  });
  // In f32 the reference must be rounded as the policy is: not at all.
  expect(estimateMemory({ ...plan, files: files("bf16"), precision: "f32" }).reference).toBe(four / 4);
  expect(estimateMemory({ ...plan, files: files("f32"), precision: "f32" }).reference).toBe(0);
  expect(
    estimateMemory({ ...plan, valueConfig: undefined, lanes: 2, files: files("f32"), precision: "f32" }),
  ).toMatchObject({ policy: (four / 4) * 5, "value function": 0 });
});

test("what does not fit is refused before it is taken, part by part", () => {
  const estimate = estimateMemory({ ...plan, files: files("f32"), precision: "f32" });
  expect(printed(() => checkMemory(estimate, 64e9))).toMatchInlineSnapshot(`
    "PPO needs 216.7 GB (policy 107.8, value function 107.8, cache 1.1), 64.0 GB are free
      Set value to shared, use fewer lanes, shorter answers or a smaller model."
  `);
  expect(() => checkMemory(estimate, 1e12)).not.toThrow();
});
