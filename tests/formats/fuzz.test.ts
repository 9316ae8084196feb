import { expect, test } from "vitest";
import { fuzz, openFuzzTargets } from "./fuzz.ts";

// `npm run bench -- fuzz` tries a hundred thousand each.
const inputs = 400;

test("every parser reads or refuses whatever it is given, at once", () => {
  using opened = openFuzzTargets();
  for (const target of opened.targets) {
    for (const seed of target.seeds)
      target.read({ name: "seed", size: seed.length, read: (at, n) => seed.slice(at, at + n) });
    const { crashes, read, refused } = fuzz(target, inputs, 1);
    expect({ name: target.name, crashes }).toEqual({ name: target.name, crashes: [] });
    expect(read + refused).toBe(inputs);
    expect(refused).toBeGreaterThan(inputs / 20);
  }
});
