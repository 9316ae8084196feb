/** `cria annotate` with a script in people's place, and what is exported of it. */

import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { embeddedFolder } from "../preference/databases.ts";
import { tinyFolder, type TinyFolder } from "../serve/tiny-served.ts";
import { cria, start, workFolder } from "./cria.ts";

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

describe("one application with `cria serve`", () => {
  const common = ["--port", "0", "--threads", "1", "--device", "cpu", "--log", "none"];
  const statusOf = async (url: string, key?: string): Promise<number> =>
    (await fetch(url, key === undefined ? {} : { headers: { authorization: `Bearer ${key}` } })).status;
  const signIn = (url: string, token: string): Promise<Response> =>
    fetch(`${url}/annotate/api/session`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ token }),
    });

  test("annotate guards the models by a key that it makes and shows to the lead", async () => {
    const variants = [`${model.path}@1.5`, `${model.path}@0.7`];
    const running = start(
      work.folder,
      "annotate",
      ...variants,
      ...common,
      "--lead",
      "Lea",
      "--invite",
      "Ann",
    );
    await running.says(/Batch "v1 helpfulness train" is open at /);
    const { stdout } = running.written();
    const [, url, token] = /^Ann: (http\S+)\/annotate\/#(\S+)$/m.exec(stdout)!;
    const key = /^API key, for the lead alone: (\S+)$/m.exec(stdout)![1]!;
    expect(stdout).toMatch(/^Lea \(lead\): http/m);
    expect(await statusOf(`${url}/v1/models`)).toBe(401);
    expect(await statusOf(`${url}/v1/models`, token)).toBe(401);
    expect(await statusOf(`${url}/v1/models`, key)).toBe(200);
    expect(await statusOf(`${url}/health`)).toBe(200);
    expect((await signIn(url!, key)).status).toBe(401);
    expect((await signIn(url!, token!)).status).toBe(200);
    running.child.kill("SIGTERM");
    expect((await running.ended).code).toBe(0);
  });

  test("serve --annotate has the page beside its API; its models answer", async () => {
    const key = "only-the-lead-has-it";
    const words = ["--annotate", "annotations", "--variant", "m@1.5", "--variant", "m@0.7", "--lead", "Lea"];
    const running = start(work.folder, "serve", `m=${model.path}`, ...common, "--api-key", key, ...words);
    await running.says(/Listening at /);
    const [, url, token] = /^Lea \(lead\): (http\S+)\/annotate\/#(\S+)$/m.exec(running.written().stdout)!;
    expect(await statusOf(`${url}/v1/models`)).toBe(401);
    expect(await statusOf(`${url}/v1/models`, key)).toBe(200);
    const cookie = (await signIn(url!, token!)).headers.getSetCookie()[0]!.split(";")[0]!;
    const call = async (path: string, body?: object): Promise<Response> =>
      fetch(`${url}/annotate/api${path}`, {
        headers: { cookie, "content-type": "application/json" },
        ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
      });
    const idOf = async (response: Promise<Response>): Promise<string> =>
      ((await (await response).json()) as { id: string }).id;
    const draft = { policyVersion: "v9", quality: "helpfulness", split: "train", overlapShare: 0 };
    const batch = await idOf(call("/lead/batches", { name: "served", ...draft }));
    const task = await idOf(call(`/batches/${batch}/task`));
    await call(`/tasks/${task}/question`, { text: "Who are you?" });
    expect(await (await call(`/tasks/${task}/answers`)).text()).toContain('data: {"type":"done"}');
    running.child.kill("SIGTERM");
    expect((await running.ended).code).toBe(0);
  });
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
