/** Damaged files, a hundred thousand for each parser: how many are read and refused, and what they cost. */

import { fuzz, openFuzzTargets } from "../tests/formats/fuzz.ts";
import type { BenchResult } from "./result.ts";

const inputs = Number(process.env["FUZZ_INPUTS"] ?? 100_000);
const seed = Number(process.env["FUZZ_SEED"] ?? 1);

export function benchFuzz(): Promise<BenchResult> {
  using opened = openFuzzTargets();
  const results = opened.targets.map((target) =>
    Object.assign(fuzz(target, inputs, seed), { name: target.name }),
  );
  const rows = results.map(({ name, read, refused, crashes, slowestMs, grownBytes }) => {
    const cost = `slowest ${slowestMs.toFixed(0)} ms, grew by ${(grownBytes / 2 ** 20).toFixed(0)} MiB`;
    const failed = crashes.length === 0 ? "" : `: ${crashes[0]!}`;
    return [name, `${read} read, ${refused} refused, ${crashes.length} crashes${failed}; ${cost}`] as const;
  });
  return Promise.resolve({ rows, json: { inputs, seed, results } });
}
