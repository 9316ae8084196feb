/**
 * The server under load: streams that start again as soon as they end, each checked against what the model says when
 * it is alone; then the same with faults: the model's process killed at random, clients that leave, and slow readers.
 */

import { createRandom, type Random } from "../src/corpus/random.ts";
import type { BackendOptions } from "../src/tensor/backend.ts";
import { quantile, rounded, type BenchResult } from "./result.ts";
import { stream, type StreamResult } from "./serve-load.ts";
import { benchModel } from "./serve-model.ts";
import { childrenOf, memoryOf, startServer, type Memory, type StartedServer } from "./serve-process.ts";

/** Seconds of each part; CRIA_BENCH_SECONDS sets another. */
const seconds = Number(process.env["CRIA_BENCH_SECONDS"] ?? 120);
const streams = 64;

/** How many requests there are. */
export const prompts = 16;

export function benchServe(options: BackendOptions): Promise<BenchResult> {
  return benchPart(options, "load");
}

export function benchServeFaults(options: BackendOptions): Promise<BenchResult> {
  return benchPart(options, "faults");
}

/** One of sixteen requests, by what the model is asked. */
export function bodyOf(prompt: number): object {
  const messages = [{ role: "user", content: `Question ${prompt}: ${"why ".repeat(prompt)}` }];
  return { messages, temperature: 0, max_tokens: 24 + prompt, ignore_eos: true };
}

// --- internal ---

async function benchPart({ threads = 1 }: BackendOptions, part: "load" | "faults"): Promise<BenchResult> {
  using model = benchModel({ dim: 288, nLayers: 6 });
  const server = await startServer(model.path, { threads, parallel: streams, cells: streams * 128 });
  try {
    const expected = await textsAlone(server.url);
    const load = await loaded(server, expected, part === "load" ? undefined : createRandom(1));
    const after = await textsAlone(server.url);
    const isSame = after.every((text, i) => text === expected[i]);
    return {
      rows: [...rowsOf(load), ["alone they say the same before and after", String(isSame)]],
      json: { seconds, streams, ...jsonOf(load), isSame },
    };
  } finally {
    server.child.kill("SIGTERM");
  }
}

async function textsAlone(url: string): Promise<string[]> {
  const texts: string[] = [];
  for (let prompt = 0; prompt < prompts; prompt += 1) {
    texts.push((await stream({ url, body: bodyOf(prompt) })).text);
  }
  return texts;
}

interface Load {
  readonly results: StreamResult[];
  /** Whole streams whose text is another than when the model is alone. */
  readonly wrongTexts: number;
  readonly kills: number;
  readonly seconds: number;
  /** Of the server's and the model's process, at a quarter of the time and at the end, in MB. */
  readonly memory: { readonly early: Memory; readonly late: Memory };
}

/** @param faults draws them; none when undefined. */
async function loaded(
  server: StartedServer,
  expected: readonly string[],
  faults: Random | undefined,
): Promise<Load> {
  const start = performance.now();
  const elapsed = (): number => (performance.now() - start) / 1000;
  const results: StreamResult[] = [];
  let wrongTexts = 0;
  let kills = 0;
  let early: Memory | undefined;
  const client = async (id: number): Promise<void> => {
    for (let round = 0; elapsed() < seconds; round += 1) {
      const prompt = (id + 7 * round) % prompts;
      const result = await stream({ url: server.url, body: bodyOf(prompt), ...misbehaviour(faults) });
      results.push(result);
      if (result.end === "whole" && result.text !== expected[prompt]) wrongTexts += 1;
      // Who is turned away comes again a little later, as the server asks.
      if (result.end === "problem") await new Promise((later) => setTimeout(later, 300));
    }
  };
  const watch = async (): Promise<void> => {
    for (let next = 5; elapsed() < seconds;) {
      await new Promise((later) => setTimeout(later, 500));
      if (elapsed() > seconds / 4) early ??= memoryOf(server.child.pid!);
      if (faults === undefined || elapsed() < next || elapsed() > seconds - 5) continue;
      next = elapsed() + 8 + 12 * faults.next();
      for (const pid of childrenOf(server.child.pid!)) process.kill(pid, "SIGKILL");
      kills += 1;
    }
  };
  await Promise.all([watch(), ...Array.from({ length: streams }, (_, id) => client(id))]);
  const late = memoryOf(server.child.pid!);
  return { results, wrongTexts, kills, seconds: elapsed(), memory: { early: early ?? late, late } };
}

function misbehaviour(faults: Random | undefined): { leaveAfter?: number; pauseMs?: number } {
  if (faults === undefined) return {};
  const kind = faults.next();
  if (kind < 0.15) return { leaveAfter: 1 + faults.int(20) };
  return kind < 0.3 ? { pauseMs: 20 + faults.int(200) } : {};
}

function summary({
  results,
}: Load): Record<"firsts" | "gaps", number[]> & { readonly ends: Record<string, number> } {
  const ends: Record<string, number> = {};
  for (const { end, detail } of results) {
    const name = detail === undefined ? end : `${end} (${detail})`;
    ends[name] = (ends[name] ?? 0) + 1;
  }
  const firsts = results.flatMap(({ firstMs }) => (firstMs === undefined ? [] : [firstMs]));
  return { firsts, gaps: results.flatMap(({ gapsMs }) => gapsMs), ends };
}

function rowsOf(load: Load): [string, string][] {
  const { firsts, gaps, ends } = summary(load);
  const quantiles = (values: readonly number[]): string =>
    [0.5, 0.99, 1].map((q) => quantile(values, q).toFixed(1)).join(" / ");
  const tokens = load.results.reduce((sum, result) => sum + result.tokens, 0);
  const { early, late } = load.memory;
  return [
    [
      `streams by their end`,
      Object.entries(ends)
        .map(([end, count]) => `${count} ${end}`)
        .join(", "),
    ],
    ["whole streams with another text", String(load.wrongTexts)],
    ["tokens/s of whole streams", (tokens / load.seconds).toFixed(0)],
    ["first token, ms, p50 / p99 / max", quantiles(firsts)],
    ["next piece, ms, p50 / p99 / max", quantiles(gaps)],
    ["server's memory, MB, at 1/4 and the end", `${early.server}, ${late.server}`],
    ["model's memory, MB, at 1/4 and the end", `${early.model}, ${late.model}`],
    ["the model's process was killed", `${load.kills} times`],
  ];
}

function jsonOf(load: Load): object {
  const { firsts, gaps, ends } = summary(load);
  return {
    ends,
    wrongTexts: load.wrongTexts,
    firstMs: [0.5, 0.99].map((q) => rounded(quantile(firsts, q))),
    gapMs: [0.5, 0.99].map((q) => rounded(quantile(gaps, q))),
    memory: load.memory,
    kills: load.kills,
  };
}
