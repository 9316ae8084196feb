/** A process of its own for `cold-start`: opens a model, reads a prompt, draws one token, and prints what that took. */

import { readFileSync } from "node:fs";
import type { Token } from "node-llama-cpp";
import { createRandom } from "../src/corpus/random.ts";
import { loadModel } from "../src/generate/loaded-model.ts";
import { openLlama } from "./llama-cpp.ts";

const [side, file, threads] = process.argv.slice(2) as [string, string, string];
const [promptTokens, contextTokens, vocabSize] = [32, 512, 32_000];
const random = createRandom(1);
const prompt = Array.from({ length: promptTokens }, () => random.int(vocabSize));
const start = performance.now();
await (side === "node-llama-cpp" ? theirs() : ours());

// --- internal ---

async function ours(): Promise<void> {
  const repack = side === "packed";
  using model = await loadModel(file, { threads: Number(threads), contextTokens, cacheType: "f16", repack });
  const opened = performance.now();
  const logits = await model.decoder.read(prompt);
  report(opened, logits.indexOf(Math.max(...logits)));
}

async function theirs(): Promise<void> {
  const llama = await openLlama(Number(threads));
  const model = await llama.loadModel({ modelPath: file, gpuLayers: 0 });
  const context = await model.createContext({
    contextSize: contextTokens,
    batchSize: contextTokens,
    threads: Number(threads),
    flashAttention: true,
  });
  const opened = performance.now();
  const tokens = context.getSequence().evaluate(
    prompt.map((id) => id as Token),
    { temperature: 0, yieldEogToken: true },
  );
  const { value } = await tokens.next();
  report(opened, Number(value));
  await tokens.return(undefined);
  await llama.dispose();
}

function report(opened: number, token: number): void {
  const now = performance.now();
  // Linux's account of what of the process is in memory, and how much of it is the file's own pages.
  const status = readFileSync("/proc/self/status", "utf8");
  const kilobytes = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]);
  console.log(
    JSON.stringify({
      token,
      openSeconds: (opened - start) / 1000,
      firstTokenSeconds: (now - start) / 1000,
      residentBytes: 1024 * kilobytes("VmRSS"),
      mostBytes: 1024 * kilobytes("VmHWM"),
      fileBytes: 1024 * kilobytes("RssFile"),
    }),
  );
}
