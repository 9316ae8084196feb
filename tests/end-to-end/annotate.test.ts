/** `cria annotate` with a script in people's place, and what is exported of it. */

import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { embeddedFolder } from "../preference/databases.ts";
import { tinyFolder, type TinyFolder } from "../serve/tiny-served.ts";
import { cria, workFolder } from "./cria.ts";

let work: ReturnType<typeof workFolder>;
let model: TinyFolder;
beforeAll(async () => {
  work = workFolder();
  // Spares the command the seconds in which a database is made.
  const made = await embeddedFolder();
  renameSync(join(made, "store"), join(work.folder, "annotations"));
  rmSync(made, { recursive: true });
  model = tinyFolder();
  const judge =
    'export default (prompt, a, b) => ({ better: a < b ? "a" : "b", strength: "slightly", safety: "both-safe" });\n';
  writeFileSync(join(work.folder, "judge.mjs"), judge);
  writeFileSync(join(work.folder, "wrong.mjs"), 'export default () => ({ better: "left" });\n');
  const prompts = ["one?", "two?", "three?"].map((prompt) => `${JSON.stringify({ prompt })}\n`);
  writeFileSync(join(work.folder, "prompts.jsonl"), prompts.join(""));
}, 600_000);
afterAll(() => {
  model[Symbol.dispose]();
  work.remove();
});

const annotate = (...words: string[]) => {
  const variants = [`${model.path}@1.5`, `${model.path}@0.7`];
  return cria(work.folder, "annotate", ...variants, "--tokens", "8", "--threads", "1", ...words);
};

test("a script judges every prompt once, however often it is run, and its data say that it is a script", async () => {
  const words = ["--judge", "judge.mjs", "--prompts", "prompts.jsonl", "--policy", "v3"];
  for (let i = 0; i < 2; i += 1) {
    const { stdout, stderr, code } = await annotate(...words);
    expect(code === 0 ? "done" : stderr).toBe("done");
    expect(stdout).toBe('3 prompts judged by judge.mjs (script) in "v3 helpfulness train"\n');
  }
  const exported = await cria(work.folder, "preferences", "export", "out.jsonl", "--split", "train");
  expect(exported.stderr).toBe("");
  const rows = readFileSync(join(work.folder, "out.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, { content: string }[]>);
  // Random weights may say twice the same, or nothing; what remains is as the script wants it.
  expect(exported.stdout).toContain(`${rows.length} comparison`);
  expect(rows.length).toBeGreaterThan(0);
  for (const row of rows) {
    expect(row).toMatchObject({ judge: "judge.mjs (script)", strength: "slightly", margin: 1 / 3 });
    expect(row["chosen"]![0]!.content < row["rejected"]![0]!.content).toBe(true);
  }
  const { stdout } = await cria(work.folder, "preferences", "stats", "out.jsonl");
  expect(stdout).toContain("judge.mjs (script)");
});

test("what cannot be is refused with its mend", async () => {
  const other = await annotate("--judge", "judge.mjs");
  expect(other.stderr).toContain("--judge needs prompts to be answered\n  Give --prompts FILE.");
  const wrong = await annotate("--judge", "wrong.mjs", "--prompts", "prompts.jsonl", "--batch", "other");
  expect(wrong.stderr).toContain('the judge said {"better":"left"}, which is no verdict');
  const same = await cria(work.folder, "annotate", `${model.path}@1`, `${model.path}@1`);
  expect(same.stderr).toContain("two of the variants are the same model at the same temperature");
  const another = await cria(work.folder, "annotate", model.path, `${model.path}@2`, "--batch", "other");
  expect(another.stderr).toContain(`the batch "other" compares ${model.path}@1.5 and ${model.path}@0.7`);
});
