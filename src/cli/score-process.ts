/**
 * A reward model in a process of its own, `cria reward score --file -`: lines go in, scores come out in their order. It
 * is started by the first request and again after a crash, which costs the requests that were waiting and no more.
 */

import { spawn, type ChildProcessByStdio } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { ConfigError, EngineError } from "../errors/errors.ts";
import { RequestError } from "../serve/problem.ts";
import { packageFile } from "./package-file.ts";

export class ScoreProcess implements Disposable {
  readonly #model: string;
  readonly #options: readonly string[];
  readonly #most: number;
  #child: ChildProcessByStdio<Writable, Readable, Readable> | undefined;
  /** Of the lines that are not answered yet, in their order. */
  readonly #waiting: Waiting[] = [];

  /**
   * @param options further words of the command, such as --threads.
   * @param most    answers that wait at a time.
   */
  constructor(model: string, options: readonly string[] = [], most = 4096) {
    this.#model = model;
    this.#options = options;
    this.#most = most;
  }

  /** For tests and the curious. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /**
   * One score for each, a JSON object with a prompt and an answer.
   *
   * @throws {ConfigError} for what is none. @throws {RequestError} when too many wait already.
   */
  async score(answers: readonly object[]): Promise<number[]> {
    const waiting = this.#waiting.length;
    if (waiting > 0 && waiting + answers.length > this.#most) {
      throw new RequestError({
        status: 429,
        message: `${waiting} answers wait already; try again later.`,
        type: "rate_limit_error",
        code: "queue_full",
        retryAfterSeconds: 1,
      });
    }
    const child = (this.#child ??= this.#start());
    const scores = answers.map(
      () => new Promise<number>((resolve, reject) => void this.#waiting.push({ resolve, reject })),
    );
    child.stdin.write(answers.map((answer) => `${JSON.stringify(answer)}\n`).join(""));
    const results = await Promise.allSettled(scores);
    return results.map((result) => {
      if (result.status === "rejected") throw result.reason;
      return result.value;
    });
  }

  [Symbol.dispose](): void {
    this.#child?.kill();
    this.#child = undefined;
  }

  #start(): ChildProcessByStdio<Writable, Readable, Readable> {
    const words = ["reward", "score", this.#model, "--file", "-", ...this.#options];
    const child = spawn(process.execPath, [packageFile("bin/cria.js"), ...words], {
      stdio: ["pipe", "pipe", "pipe"],
    });
    // A write to a process that has died: its end says why.
    child.stdin.on("error", () => undefined);
    let rest = "";
    let said = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) this.#answered(line);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(-2000)));
    child.on("close", (code, signal) => {
      if (this.#child === child) this.#child = undefined;
      const reason = `the reward model's process ended (${signal ?? code}): ${said.trim()}`;
      for (const { reject } of this.#waiting.splice(0)) reject(new EngineError(reason));
    });
    return child;
  }

  #answered(line: string): void {
    const result = JSON.parse(line) as { readonly score: number } | { readonly error: string };
    const first = this.#waiting.shift();
    if ("error" in result) first?.reject(new ConfigError(result.error));
    else first?.resolve(result.score);
  }
}

// --- internal ---

interface Waiting {
  readonly resolve: (score: number) => void;
  readonly reject: (error: Error) => void;
}
