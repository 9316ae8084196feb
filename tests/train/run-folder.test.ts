import { spawn, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openRunFolder } from "../../src/train/run-folder.ts";
import { printed } from "./printed.ts";

let out: string;
beforeEach(() => {
  out = mkdtempSync(join(tmpdir(), "cria-runs-"));
});
afterEach(() => rmSync(out, { recursive: true }));

const recipe = { lr: 0.001, model: { dim: 64 }, prompts: ["a", "b"], threads: undefined };

function said(body: () => unknown): string {
  return printed(body).replaceAll(out, "runs").replaceAll(String(process.pid), "PID");
}

test("a new folder holds the recipe and places for the rest", () => {
  using run = openRunFolder({ out, name: "first", recipe });
  expect(readFileSync(run.recipe, "utf8")).toBe("lr: 0.001\nmodel:\n  dim: 64\nprompts:\n  - a\n  - b\n");
  expect(readdirSync(run.path).toSorted()).toEqual(["checkpoints", "lock", "recipe.yaml", "samples"]);
  expect(run.metrics).toBe(join(out, "first", "metrics.jsonl"));
  expect(run.report).toBe(join(out, "first", "report.html"));
});

test("the same recipe goes on in the same folder", () => {
  openRunFolder({ out, name: "first", recipe })[Symbol.dispose]();
  writeFileSync(join(out, "first", "metrics.jsonl"), "kept");
  using run = openRunFolder({ out, name: "first", recipe: structuredClone(recipe) });
  expect(readFileSync(run.metrics, "utf8")).toBe("kept");
});

test("a run that has no checkpoint has not begun: another recipe starts it afresh", () => {
  openRunFolder({ out, name: "first", recipe })[Symbol.dispose]();
  mkdirSync(join(out, "first", "data"));
  using run = openRunFolder({ out, name: "first", recipe: { ...recipe, lr: 0.01 } });
  expect(readFileSync(run.recipe, "utf8")).toMatch(/^lr: 0\.01\n/);
  // What the other recipe had prepared is not this one's.
  expect(readdirSync(run.path).toSorted()).toEqual(["checkpoints", "lock", "recipe.yaml", "samples"]);
});

test("another recipe is refused once there is a checkpoint, by the keys that differ", () => {
  const begun = openRunFolder({ out, name: "first", recipe });
  mkdirSync(join(begun.checkpoints, "sft", "step-00000002"), { recursive: true });
  begun[Symbol.dispose]();
  const other = { lr: 0.01, model: { dim: 64, layers: 2 }, prompts: ["a"] };
  expect(said(() => openRunFolder({ out, name: "first", recipe: other }))).toMatchInlineSnapshot(`
    "runs/first was begun with another recipe: lr was 0.001 and is 0.01; prompts was ["a","b"] and is ["a"]; model.layers was not set and is 2
      Give the new run another --name, go on with the old recipe, or delete runs/first to start afresh."
  `);
  expect(existsSync(join(out, "first", "lock"))).toBe(false);
});

test("keys that may differ do, and the folder keeps the newest", () => {
  openRunFolder({ out, name: "first", recipe: { ...recipe, threads: 1 } })[Symbol.dispose]();
  const mayDiffer = ["threads", "model"];
  using run = openRunFolder({ out, name: "first", recipe: { ...recipe, model: { dim: 32 } }, mayDiffer });
  expect(readFileSync(run.recipe, "utf8")).toContain("dim: 32");
});

test("a folder of something else is left alone", () => {
  mkdirSync(join(out, "thesis"));
  writeFileSync(join(out, "thesis", "chapter-1.tex"), "");
  expect(said(() => openRunFolder({ out, name: "thesis", recipe }))).toMatchInlineSnapshot(`
    "runs/thesis is not a run's folder: it holds chapter-1.tex and no recipe.yaml
      Choose another --name."
  `);
  expect(readdirSync(join(out, "thesis"))).toEqual(["chapter-1.tex"]);
});

test("a name that leads elsewhere is refused", () => {
  for (const name of ["", ".", "..", "../x", "a/b", ".hidden", "-x"]) {
    expect(() => openRunFolder({ out, name, recipe }), name).toThrow("cannot be the name of a run");
  }
  expect(said(() => openRunFolder({ out, name: "../x", recipe }))).toMatchInlineSnapshot(`
    ""../x" cannot be the name of a run
      Use letters, digits, dots, dashes and underscores, such as --name first-try."
  `);
});

test("a folder that a living process holds is refused, this process included", () => {
  using run = openRunFolder({ out, name: "first", recipe });
  expect(said(() => openRunFolder({ out, name: run.name, recipe }))).toMatchInlineSnapshot(`
    "process PID is training in runs/first
      Wait for it, stop it, or choose another --name."
  `);
});

test("the lock is freed by disposal, twice if need be, and then free to take", () => {
  const run = openRunFolder({ out, name: "first", recipe });
  run[Symbol.dispose]();
  using again = openRunFolder({ out, name: "first", recipe });
  run[Symbol.dispose]();
  expect(existsSync(join(again.path, "lock"))).toBe(true);
});

test("the lock of a dead process is taken over", () => {
  const { pid } = spawnSync(process.execPath, ["-e", ""]);
  openRunFolder({ out, name: "first", recipe })[Symbol.dispose]();
  writeFileSync(join(out, "first", "lock"), JSON.stringify({ pid, host: hostname(), started: "1" }));
  using run = openRunFolder({ out, name: "first", recipe });
  expect(JSON.parse(readFileSync(join(run.path, "lock"), "utf8"))).toMatchObject({ pid: process.pid });
  expect(readdirSync(run.path).filter((name) => name.startsWith("lock"))).toEqual(["lock"]);
});

test("a lock whose pid has come round to another process is taken over", () => {
  openRunFolder({ out, name: "first", recipe })[Symbol.dispose]();
  const lock = { pid: process.ppid, host: hostname(), started: "another time" };
  writeFileSync(join(out, "first", "lock"), JSON.stringify(lock));
  expect(() => openRunFolder({ out, name: "first", recipe })[Symbol.dispose]()).not.toThrow();
});

test("a lock that is no lock, as a full disk leaves it, is taken over", () => {
  openRunFolder({ out, name: "first", recipe })[Symbol.dispose]();
  writeFileSync(join(out, "first", "lock"), "");
  expect(() => openRunFolder({ out, name: "first", recipe })[Symbol.dispose]()).not.toThrow();
});

test("the lock of another machine is not judged", () => {
  openRunFolder({ out, name: "first", recipe })[Symbol.dispose]();
  writeFileSync(join(out, "first", "lock"), JSON.stringify({ pid: 7, host: "elsewhere", started: "1" }));
  expect(said(() => openRunFolder({ out, name: "first", recipe }))).toMatchInlineSnapshot(`
    "process 7 on elsewhere holds runs/first/lock
      If nothing is training there any more, delete runs/first/lock."
  `);
});

test("of processes that start at once in a folder with a dead lock, exactly one trains", async () => {
  openRunFolder({ out, name: "first", recipe: {} })[Symbol.dispose]();
  const module = new URL("../../src/train/run-folder.ts", import.meta.url).href;
  const script = `
    import { openRunFolder } from ${JSON.stringify(module)};
    try {
      openRunFolder({ out: ${JSON.stringify(out)}, name: "first", recipe: {} });
      console.log("mine");
    } catch { console.log("refused"); }
    process.stdin.resume();
  `;
  const { pid } = spawnSync(process.execPath, ["-e", ""]);
  writeFileSync(join(out, "first", "lock"), JSON.stringify({ pid, host: hostname(), started: "1" }));
  const children = Array.from({ length: 4 }, () =>
    spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script], { stdio: "pipe" }),
  );
  const answers = await Promise.all(
    children.map(async ({ stdout }) => String((await once(stdout, "data"))[0]).trim()),
  );
  for (const child of children) child.stdin.end();
  await Promise.all(children.map((child) => once(child, "exit")));
  expect(answers.toSorted()).toEqual(["mine", "refused", "refused", "refused"]);
});
