/** Thousands of random graphs, most of which cannot be: each is computed or refused, and the process lives. */

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";

const programs = fileURLToPath(new URL("random-programs.ts", import.meta.url));

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cria-fuzz-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** @returns how often each op was built. */
async function runPrograms(seed: number, runs: number): Promise<Record<string, number>> {
  const file = join(folder, `program-${seed}.json`);
  const child = spawn(process.execPath, ["--import", "tsx", programs, String(seed), String(runs), file]);
  const said = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    child[name].setEncoding("utf8").on("data", (chunk: string) => (said[name] += chunk));
  const ended = await new Promise((done) => {
    child.on("close", (code, signal) => done(signal ?? code));
  });
  if (ended !== 0) throw new Error(`${String(ended)} at ${readFileSync(file, "utf8")}\n${said.stderr}`);
  return JSON.parse(said.stdout) as Record<string, number>;
}

test("random ops on random arguments never end the process", async () => {
  const [a, b] = await Promise.all([runPrograms(1, 1500), runPrograms(2, 1500)]);
  // Nor are they all refused.
  const built = Object.keys({ ...a, ...b }).toSorted();
  expect(built).toEqual([
    "add",
    "addInto",
    "backward",
    "cachedAttention",
    "clamp",
    "crossEntropy",
    "exp",
    "flatten",
    "matmul",
    "maximum",
    "minimum",
    "mul",
    "mulGain",
    "mulScalar",
    "operand",
    "permute",
    "reshape",
    "reverse",
    "rmsNorm",
    "rope",
    "rows",
    "scale",
    "setRows",
    "silu",
    "slice",
    "softmax",
    "softplus",
    "split",
    "sub",
    "sum",
    "sumOfSquares",
    "swiglu",
    "tokenLogprobs",
    "transposed",
  ]);
});
