/** Cria's PPO arithmetic against TRL's, on numbers that TRL made. */

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { arithmeticOf, unbiased, type TrlCase } from "./trl.ts";

const file = new URL("../fixtures/trl/ppo.json", import.meta.url);
const cases = JSON.parse(readFileSync(file, "utf8")) as TrlCase[];

function expectClose(ours: readonly (readonly number[])[], theirs: typeof ours, digits: number): void {
  expect(ours.map(({ length }) => length)).toEqual(theirs.map(({ length }) => length));
  for (const [i, x] of ours.flat().entries()) expect(x).toBeCloseTo(theirs.flat()[i]!, digits);
}

describe.each(cases.map((known) => [JSON.stringify(known.settings), known] as const))(
  "with %s",
  (_, known) => {
    const { trl } = known;

    test("rewards, returns and the KL are TRL's", async () => {
      const ours = await arithmeticOf(known);
      expectClose(ours.rewards, trl.rewards, 12);
      expectClose(ours.returns, trl.returns, 12);
      expect(ours.kl).toBeCloseTo(trl.kl, 12);
    });

    test("whitened advantages are, but for the variance, which TRL divides by one less", async () => {
      expectClose(unbiased((await arithmeticOf(known)).advantages), trl.advantages, 6);
    });

    test("clipped losses are, in the graph", async () => {
      const { policyLoss, valueLoss } = await arithmeticOf(known);
      expect(policyLoss).toBeCloseTo(trl.policyLoss, 5);
      expect(valueLoss).toBeCloseTo(trl.valueLoss, 5);
    });

    test("what is measured of an update is", async () => {
      const { clipfrac, valueClipfrac, approxkl, ratio } = await arithmeticOf(known);
      expect(clipfrac).toBeCloseTo(trl.clipfrac, 12);
      expect(valueClipfrac).toBeCloseTo(trl.valueClipfrac, 12);
      expect(approxkl).toBeCloseTo(trl.approxkl, 12);
      expect(ratio).toBeCloseTo(trl.ratio, 12);
    });
  },
);
