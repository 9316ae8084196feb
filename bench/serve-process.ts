/** `cria serve` as a process of its own, and the memory that it and its models take. */

import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export interface StartedServer {
  readonly child: ChildProcess;
  readonly url: string;
}

export interface ServerSize {
  readonly threads: number;
  /** Texts at a time. */
  readonly parallel: number;
  readonly cells: number;
}

/** Of the server's and the model's process, in MB. */
export interface Memory {
  readonly server: number;
  readonly model: number;
}

/** The caller ends it. */
export async function startServer(
  model: string,
  { threads, parallel, cells }: ServerSize,
): Promise<StartedServer> {
  const bin = fileURLToPath(new URL("../bin/cria.js", import.meta.url));
  const sizes = Object.entries({ port: 0, threads, parallel, cells });
  const options = sizes.flatMap(([name, value]) => [`--${name}`, String(value)]);
  const child = spawn(process.execPath, [bin, "serve", model, "--log", "none", ...options], {
    stdio: ["ignore", "inherit", "pipe"],
  });
  const url = await new Promise<string>((listening, fail) => {
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      said += chunk.toString();
      const [, url] = /Listening at (\S+)/.exec(said) ?? [];
      if (url !== undefined) listening(url);
    });
    child.on("exit", () => fail(new Error(`the server ended: ${said}`)));
  });
  return { child, url };
}

/** The models' processes. */
export function childrenOf(pid: number): number[] {
  const lines = execFileSync("ps", ["-o", "pid=,args=", "--ppid", String(pid)], { encoding: "utf8" }).split(
    "\n",
  );
  return lines.filter((line) => line.includes("worker.js")).map((line) => Number.parseInt(line, 10));
}

export function memoryOf(pid: number): Memory {
  const [child] = childrenOf(pid);
  return { server: residentMb(pid), model: child === undefined ? 0 : residentMb(child) };
}

// --- internal ---

function residentMb(pid: number): number {
  const pages = Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]);
  return Math.round((pages * 4096) / 1e6);
}
