/**
 * `npm run bench [-- NAME...] [--threads n]`: a table for people and one line of JSON for each bench. Nothing is
 * asserted: trust the ratios, which are measured in turns, and those of a busy machine only with one thread, since two
 * wait for each other in every node.
 */

import { parseArgs } from "node:util";
import { benchColdStart } from "./cold-start.ts";
import { benchConvert } from "./convert.ts";
import { benchFuzz } from "./fuzz.ts";
import { benchGemm } from "./gemm.ts";
import { benchGrammar } from "./grammar.ts";
import { benchInference, benchInference1b, benchInferenceQuantised } from "./inference.ts";
import { benchLookup } from "./inference-lookup.ts";
import { benchParallel } from "./inference-parallel.ts";
import { benchReward } from "./reward.ts";
import { benchLeaks } from "./leaks.ts";
import { benchRlhf } from "./rlhf.ts";
import { benchRlhfKills } from "./rlhf-kills.ts";
import { benchSampling } from "./sampling.ts";
import { benchServe, benchServeFaults } from "./serve.ts";
import { benchServePeer } from "./serve-peer.ts";
import { benchServeLeaks } from "./serve-leaks.ts";
import { benchServeFuzz, benchServeFuzzModel } from "./serve-fuzz.ts";
import { benchTokenizer } from "./tokenizer.ts";
import { benchTraining } from "./training.ts";
import type { BackendOptions } from "../src/tensor/backend.ts";
import type { BenchResult } from "./result.ts";

const benches: Readonly<Record<string, (options: BackendOptions) => Promise<BenchResult>>> = {
  convert: benchConvert,
  fuzz: benchFuzz,
  gemm: benchGemm,
  grammar: benchGrammar,
  training: benchTraining,
  inference: benchInference,
  "inference-quantised": benchInferenceQuantised,
  "inference-1b": benchInference1b,
  "cold-start": benchColdStart,
  "inference-parallel": benchParallel,
  "inference-lookup": benchLookup,
  leaks: benchLeaks,
  sampling: benchSampling,
  reward: benchReward,
  rlhf: benchRlhf,
  "rlhf-kills": benchRlhfKills,
  tokenizer: benchTokenizer,
  serve: benchServe,
  "serve-peer": benchServePeer,
  "serve-faults": benchServeFaults,
  "serve-leaks": benchServeLeaks,
  "serve-fuzz": benchServeFuzz,
  "serve-fuzz-model": benchServeFuzzModel,
};

const { values, positionals } = parseArgs({
  options: { threads: { type: "string" } },
  allowPositionals: true,
});
const options: BackendOptions = values.threads === undefined ? {} : { threads: Number(values.threads) };
const names = positionals.length > 0 ? positionals : Object.keys(benches);
const unknown = names.find((name) => !Object.hasOwn(benches, name));
if (unknown === undefined) {
  for (const name of names) print(name, await benches[name]!(options));
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
