/**
 * The server beside llama.cpp's own, where CRIA_LLAMA_SERVER says where that program is (npm has none): both serve the
 * same GGUF file on as many threads, and 64 clients ask one after the other, in turns.
 */

import { Agent } from "node:http";
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ggufTokenizerValues } from "../src/model/gguf-tokenizer.ts";
import { initialise } from "../src/model/initialise.ts";
import { presetConfig } from "../src/model/presets.ts";
import { writeGgufModel } from "../src/model/save.ts";
import { createWeights } from "../src/model/weights.ts";
import { openBackend, type BackendOptions } from "../src/tensor/backend.ts";
import { createRandom } from "../src/corpus/random.ts";
import { tinyTokenizer } from "../tests/dialog/tiny-tokenizer.ts";
import { quantile, rounded, type BenchResult } from "./result.ts";
import { stream, type StreamResult } from "./serve-load.ts";
import { bodyOf, prompts } from "./serve.ts";
import { startServer } from "./serve-process.ts";

export async function benchServePeer({ threads = 1 }: BackendOptions): Promise<BenchResult> {
  const program = process.env["CRIA_LLAMA_SERVER"];
  if (program === undefined) {
    const mend = "set CRIA_LLAMA_SERVER to the path of llama.cpp's llama-server";
    return { rows: [["not run", mend]], json: { skipped: mend } };
  }
  const folder = mkdtempSync(join(tmpdir(), "cria-bench-"));
  const servers: Server[] = [];
  const measured: Measurement[] = [];
  try {
    for (const preset of presets) {
      const file = writeModel(folder, preset);
      const ours = await startServer(file, { threads, parallel: streams, cells: streams * cellsEach });
      servers.push({ name: "cria", ...ours });
      servers.push(await startPeer(program, file, threads));
      measured.push(...(await takeTurns(preset, servers)));
      while (servers.length > 0) servers.pop()!.child.kill("SIGTERM");
    }
  } finally {
    for (const { child } of servers) child.kill("SIGTERM");
    rmSync(folder, { recursive: true, force: true });
  }
  return { rows: measured.flatMap(rowsOf), json: { threads, streams, seconds, turns, measured } };
}

// --- internal ---

const presets = ["stories-15m", "stories-110m"] as const;
const [streams, cellsEach] = [64, 128];
/** Seconds of load on each, in all its turns. */
const [seconds, turns] = [Number(process.env["CRIA_BENCH_SECONDS"] ?? 60), 2];

/** A connection for each answer: llama-server closes those that are kept, at times just as they are used. */
const agent = new Agent({ keepAlive: false, maxSockets: streams });

interface Server {
  readonly name: string;
  readonly child: ChildProcess;
  readonly url: string;
}

interface Measurement {
  readonly preset: string;
  readonly server: string;
  readonly streams: number;
  readonly broken: number;
  /** What was wrong with the first of them. */
  readonly detail?: string | undefined;
  readonly tokensPerSecond: number;
  /** Until the first piece of text, at the quantiles 0.5 and 0.99. */
  readonly firstMs: readonly number[];
  /** From piece to piece, at the same. */
  readonly gapMs: readonly number[];
}

interface Load {
  readonly results: readonly StreamResult[];
  /** Until the last answer had ended. */
  readonly seconds: number;
}

/** Random weights in f16 over a tokenizer of bytes. */
function writeModel(folder: string, preset: (typeof presets)[number]): string {
  const tokenizer = tinyTokenizer();
  const file = join(folder, `${preset}.gguf`);
  using backend = openBackend({ device: "cpu", threads: 1 });
  using weights = createWeights(backend, presetConfig(preset, tokenizer.vocabSize));
  const random = createRandom(1);
  initialise(weights, () => random.next(), 0.1);
  writeGgufModel(file, weights, ggufTokenizerValues(tokenizer, tokenizer.vocabSize), "f16");
  return file;
}

async function startPeer(program: string, file: string, threads: number): Promise<Server> {
  const port = await freePort();
  const sizes = {
    port,
    threads,
    "threads-batch": threads,
    parallel: streams,
    "ctx-size": streams * cellsEach,
  };
  const options = Object.entries(sizes).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const child = spawn(program, ["--model", file, "--host", "127.0.0.1", "--no-webui", ...options], {
    stdio: "ignore",
  });
  const url = `http://127.0.0.1:${port}`;
  for (let waited = 0; waited < 600; waited += 1) {
    const isReady = await fetch(`${url}/health`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (isReady) return { name: "llama-server", child, url };
    if (child.exitCode !== null) throw new Error(`llama-server ended with ${child.exitCode}`);
    await new Promise((later) => setTimeout(later, 100));
  }
  child.kill("SIGTERM");
  throw new Error("llama-server was not ready within a minute");
}

function freePort(): Promise<number> {
  return new Promise((found) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => found(port));
    });
  });
}

async function takeTurns(preset: string, servers: readonly Server[]): Promise<Measurement[]> {
  // The first turn warms both up.
  for (const { url } of servers) await load(url, seconds / 6);
  const loads = servers.map((): Load[] => []);
  for (let turn = 0; turn < turns; turn += 1)
    for (const [i, { url }] of servers.entries()) loads[i]!.push(await load(url, seconds / turns));
  return servers.map(({ name }, i) => measurementOf(preset, name, loads[i]!));
}

/** Each client asks again as soon as it has its answer, until the time is over. */
async function load(url: string, time: number): Promise<Load> {
  const results: StreamResult[] = [];
  const end = performance.now() + 1000 * time;
  const client = async (id: number): Promise<void> => {
    for (let round = 0; performance.now() < end; round += 1)
      results.push(await stream({ url, body: bodyOf((id + 7 * round) % prompts), agent }));
  };
  const start = performance.now();
  await Promise.all(Array.from({ length: streams }, (_, id) => client(id)));
  return { results, seconds: (performance.now() - start) / 1000 };
}

function measurementOf(preset: string, server: string, loads: readonly Load[]): Measurement {
  const results = loads.flatMap((load) => load.results);
  const whole = results.filter(({ end }) => end === "whole");
  const firsts = whole.flatMap(({ firstMs }) => (firstMs === undefined ? [] : [firstMs]));
  const tokens = whole.reduce((sum, result) => sum + result.tokens, 0);
  const gaps = whole.flatMap(({ gapsMs }) => gapsMs);
  const quantiles = (values: readonly number[]): number[] =>
    [0.5, 0.99].map((q) => rounded(quantile(values, q)));
  return {
    preset,
    server,
    streams: whole.length,
    broken: results.length - whole.length,
    detail: results.find(({ end }) => end !== "whole")?.detail,
    tokensPerSecond: rounded(tokens / loads.reduce((sum, load) => sum + load.seconds, 0)),
    firstMs: quantiles(firsts),
    gapMs: quantiles(gaps),
  };
}

function rowsOf({ preset, server, ...measured }: Measurement): [string, string][] {
  const { tokensPerSecond, firstMs, gapMs, broken, detail = "none" } = measured;
  const name = `${preset}, ${server}`;
  return [
    [
      `${name}: tokens/s of whole streams`,
      `${tokensPerSecond.toFixed(0)}, ${measured.streams} streams, ${broken} broken (${detail})`,
    ],
    [`${name}: first token, ms, p50 / p99`, firstMs.map((ms) => ms.toFixed(0)).join(" / ")],
    [`${name}: next piece, ms, p50 / p99`, gapMs.map((ms) => ms.toFixed(1)).join(" / ")],
  ];
}
