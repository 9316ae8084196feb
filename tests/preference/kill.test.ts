import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { createRandom } from "../../src/corpus/random.ts";
import { openStore } from "../../src/preference/annotation/store.ts";
import { embeddedFolder } from "./databases.ts";

const writer = fileURLToPath(new URL("writer.ts", import.meta.url));

/** Starts the writer, lets it acknowledge a few events, and kills it without warning some milliseconds later. */
async function writeUntilKilled(store: string, seed: number, milliseconds: number): Promise<string[]> {
  const child = spawn(process.execPath, ["--import", "tsx", writer, store, String(seed)]);
  let acknowledged = "";
  let complaints = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    complaints += text;
  });
  const first = new Promise<void>((done) => {
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      acknowledged += text;
      done();
    });
  });
  const ended = new Promise<NodeJS.Signals | null>((done) =>
    child.once("close", (_, signal) => done(signal)),
  );
  await Promise.race([first, ended]);
  await sleep(milliseconds);
  child.kill("SIGKILL");
  expect(await ended, complaints).toBe("SIGKILL");
  return acknowledged.trimEnd().split("\n");
}

test(
  "every event that was acknowledged is there after kill -9 at random moments",
  { timeout: 600_000 },
  async () => {
    const folder = await embeddedFolder();
    const store = join(folder, "store");
    const random = createRandom(3);
    const acknowledged: string[] = [];
    for (let i = 0; i < 4; i += 1) {
      acknowledged.push(...(await writeUntilKilled(store, i, 100 + random.next() * 900)));
    }
    const database = await openStore({ folder: store });
    const rows = await database.query<{ line: string }>("select id || ' ' || better as line from events");
    const kept = new Set(rows.map(({ line }) => line));
    expect(acknowledged.filter((line) => !kept.has(line))).toEqual([]);
    // Beyond them at most one a life: written, and killed before it could say so.
    expect(rows.length - acknowledged.length).toBeLessThanOrEqual(4);
    expect(acknowledged.length).toBeGreaterThanOrEqual(4);
    await database[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  },
);
