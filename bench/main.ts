/**
 * `npm run bench [-- gemm training inference tokenizer]`: a table for people and one line of JSON for each bench.
 * Nothing is asserted: the machine is shared, so trust the ratios, which are measured in turns.
 */

import { benchGemm } from "./gemm.ts";
import { benchInference } from "./inference.ts";
import { benchTokenizer } from "./tokenizer.ts";
import { benchTraining } from "./training.ts";
import type { BenchResult } from "./result.ts";

const benches: Readonly<Record<string, () => Promise<BenchResult>>> = {
  gemm: benchGemm,
  training: benchTraining,
  inference: benchInference,
  tokenizer: benchTokenizer,
};

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(benches);
const unknown = names.find((name) => !Object.hasOwn(benches, name));
if (unknown === undefined) {
  for (const name of names) print(name, await benches[name]!());
} else {
  console.error(`There is no bench "${unknown}". There are ${Object.keys(benches).join(", ")}.`);
  process.exitCode = 1;
}

// --- internal ---

function print(bench: string, { rows, json }: BenchResult): void {
  const width = Math.max(...rows.map(([name]) => name.length));
  console.log(bench);
  for (const [name, value] of rows) console.log(`  ${name.padEnd(width)}  ${value}`);
  console.log(JSON.stringify({ bench, node: process.version, ...json }));
}
