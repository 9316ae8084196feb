import { spawn, type ChildProcess } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tinyText } from "../tiny-corpus.ts";
import { bin } from "./package.ts";

/** Children that have not ended: a test that failed may leave some. */
const alive = new Set<ChildProcess>();

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** What it has written so far, of both streams. */
  readonly written: () => { readonly stdout: string; readonly stderr: string };
  /** Settles when stdout or stderr holds the text; fails when the program ends without. */
  readonly says: (text: string | RegExp) => Promise<void>;
}

/** Starts the command as a user does, in a folder. */
export function start(folder: string, ...words: readonly string[]): Running {
  const child = spawn(process.execPath, [bin, ...words], { cwd: folder });
  alive.add(child);
  const written = { stdout: "", stderr: "" };
  const looks = new Set<() => void>();
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (chunk: string) => {
      written[name] += chunk;
      for (const look of looks) look();
    });
  }
  const ended = new Promise<Ended>((done) => {
    child.on("close", (code, signal) => {
      alive.delete(child);
      done({ code, signal, ...written });
    });
  });
  const says = (text: string | RegExp): Promise<void> =>
    new Promise((done, fail) => {
      const look = (): void => {
        const isThere = [written.stdout, written.stderr].some((said) =>
          typeof text === "string" ? said.includes(text) : text.test(said),
        );
        if (isThere) done();
      };
      looks.add(look);
      look();
      void ended.then((end) => fail(new Error(`it never said ${String(text)}: ${JSON.stringify(end)}`)));
    });
  return { child, ended, written: () => ({ ...written }), says };
}

/** Runs the command to its end, with nothing on its standard input. */
export function cria(folder: string, ...words: readonly string[]): Promise<Ended> {
  return criaWithInput(folder, "", ...words);
}

export function criaWithInput(folder: string, input: string, ...words: readonly string[]): Promise<Ended> {
  const { child, ended } = start(folder, ...words);
  child.stdin!.on("error", () => {});
  child.stdin!.end(input);
  return ended;
}

export interface WorkFolder {
  readonly folder: string;
  /** Also ends what is still running. */
  readonly remove: () => void;
}

/** A folder of a test file's own, with a few texts in `books/`. */
export function workFolder(): WorkFolder {
  const folder = mkdtempSync(join(tmpdir(), "cria-end-to-end-"));
  mkdirSync(join(folder, "books"));
  for (let i = 1; i <= 6; i += 1) writeFileSync(join(folder, "books", `book-${i}.txt`), tinyText(60, i));
  const remove = (): void => {
    for (const child of alive) child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  };
  return { folder, remove };
}

/** Settings of a run that takes a second, as `--set` takes them. */
export const tinyPretraining = {
  model: "{dim: 32, n_layers: 2, n_heads: 4, n_kv_heads: 2, hidden_dim: 64, max_seq_len: 256}",
  "corpus.sources": "[{from: books}]",
  "corpus.validation_fraction": "0.2",
  "tokenizer.vocab_size": "300",
  seq_len: "32",
  batch_size: "2",
  gradient_accumulation: "1",
  steps: "30",
  warmup_steps: "3",
  lr: "0.01",
  precision: "f32",
  device: "cpu",
  threads: "1",
  checkpoint_every: "3",
  sample_every: "10",
  validation_every: "10",
  sample_prompts: "[the whale]",
} as const;

/** `--set key=value` for each setting. */
export function settings(values: Readonly<Record<string, string>>, prefix = ""): string[] {
  return Object.entries(values).flatMap(([key, value]) => ["--set", `${prefix}${key}=${value}`]);
}
