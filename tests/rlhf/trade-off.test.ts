/** The ablation of safety data: what each share is trained on, and that a killed run goes on. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openLedger } from "../../src/rlhf/ledger.ts";
import { tradeOff } from "../../src/rlhf/trade-off.ts";
import type { VersionMetrics } from "../../src/rlhf/version.ts";

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "cria-trade-off-"))));
afterEach(() => rmSync(folder, { recursive: true }));

function dialogs(name: string, count: number): string {
  const file = join(folder, name);
  const lines = Array.from({ length: count }, (_, i) =>
    JSON.stringify({ prompt: `${name} ${i}?`, response: "Yes." }),
  );
  writeFileSync(file, lines.join("\n"));
  return file;
}

const metrics = { helpfulness: 0.5 } as unknown as VersionMetrics;

test("each model has all helpful dialogs and its share of the safety dialogs, a larger one all of a smaller's", async () => {
  const trained: string[][] = [];
  let dies = true;
  const run = () =>
    tradeOff(
      {
        helpful: [dialogs("h.jsonl", 3)],
        safety: [dialogs("s.jsonl", 8)],
        shares: [0, 0.25, 1],
        seed: 1,
        folder,
      },
      {
        fineTune: (file) => {
          trained.push(readFileSync(file, "utf8").trimEnd().split("\n"));
          return Promise.resolve({ checkpoint: file });
        },
        measure: (_, name) => {
          if (dies && name.startsWith("share-0250")) return Promise.reject(new Error("killed"));
          return Promise.resolve(metrics);
        },
      },
      openLedger({ folder: join(folder, "steps"), commit: "abc" }),
    );
  await expect(run()).rejects.toThrow("killed");
  dies = false;
  const points = await run();
  expect(points.map(({ share, dialogs: count }) => [share, count])).toEqual([
    [0, 0],
    [0.25, 2],
    [1, 8],
  ]);
  // Once each, though the run was begun twice.
  expect(trained.map(({ length }) => length)).toEqual([3, 5, 11]);
  for (const line of trained[1]!) expect(trained[2]).toContain(line);
});
