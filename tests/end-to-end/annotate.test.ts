/** `cria annotate` with a script in people's place, and what is exported of it. */

import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createRandom } from "../../src/corpus/random.ts";
import { withScalarHead } from "../../src/model/heads.ts";
import { readModelFiles } from "../../src/model/load.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { tokenizerOfModel } from "../../src/tokenizer/open.ts";
import { saveCheckpoint } from "../../src/train/checkpoint.ts";
import { cria as criaHere } from "../cli/memory-terminal.ts";
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
  // Random bytes have characters that no database keeps: they are compared as they are stored.
  const judge =
    'const stored = (text) => text.replaceAll(/[\\0\\p{Cs}]/gu, "\\uFFFD");\n' +
    'export default (prompt, a, b) => ({ better: stored(a) < stored(b) ? "a" : "b", strength: "slightly", safety: "both-safe" });\n';
  writeFileSync(join(work.folder, "judge.mjs"), judge);
  writeFileSync(join(work.folder, "wrong.mjs"), 'export default () => ({ better: "left" });\n');
  const prompts = ["one?", "two?", "three?"].map((prompt) => `${JSON.stringify({ prompt })}\n`);
  writeFileSync(join(work.folder, "prompts.jsonl"), prompts.join(""));
  mkdirSync(join(work.folder, "reward"));
  for (const seed of [1, 2]) {
    using backend = openBackend({ device: "cpu", threads: 1 });
    const random = createRandom(seed);
    using weights = withScalarHead(backend, readModelFiles(model.path), () => random.next());
    const tokenizer = tokenizerOfModel(model.path, weights.config.vocabSize);
    saveCheckpoint(join(work.folder, "reward", `step-${seed}`), { weights, tokenizer, run: { step: seed } });
  }
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

test("reward models judge, and are named with what they judged", async () => {
  const words = ["--prompts", "prompts.jsonl", "--policy", "v4", "--device", "cpu"];
  const alone = await annotate("--judge", "reward/step-1", ...words);
  expect(alone.code === 0 ? "done" : alone.stderr).toBe("done");
  expect(alone.stdout).toBe('3 prompts judged by reward step-1 (reward model) in "v4 helpfulness train"\n');
  const both = await annotate("--judge", "reward/step-1", "--safety-judge", "reward/step-2", ...words);
  expect(both.stdout).toContain("judged by reward step-1 and reward step-2 (reward model) in");
  const [store, file] = [join(work.folder, "annotations"), join(work.folder, "model.jsonl")];
  await criaHere("preferences", "export", file, "--batch", "v4 helpfulness train", "--store", store);
  const rows = readFileSync(file, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { judge: string; safety?: string });
  expect(rows.length).toBeGreaterThan(0);
  for (const { judge, safety } of rows) {
    expect(judge).toMatch(/^reward step-1( and reward step-2)? \(reward model\)$/);
    expect(safety === undefined).toBe(judge === "reward step-1 (reward model)");
  }
  const { stdout } = await criaHere("preferences", "stats", "--store", store);
  expect(stdout).toContain("reward step-1 (reward model)");
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
  for (const [words, message] of [
    [["--judge", "judge.mjs"], "--judge needs prompts to be answered\n  Give --prompts FILE."],
    [["--prompts", "prompts.jsonl"], "--prompts is for a judge, and there is none\n  Give --judge PATH too"],
    [
      ["--judge", "absent", "--prompts", "prompts.jsonl"],
      "absent: no such file or folder\n  Check the path.",
    ],
  ] as const) {
    const { stderr, code } = await criaHere("annotate", `${model.path}@1`, `${model.path}@2`, ...words);
    expect([stderr, code]).toEqual([expect.stringContaining(message), 1]);
  }
  // A batch of models that are not there would stand in the way of the next one of its name.
  const unmade = join(work.folder, "unmade");
  const absent = await criaHere("annotate", "absent@1", "absent@2", "--store", unmade);
  expect([absent.stderr, existsSync(unmade)]).toEqual([
    expect.stringContaining("there is no model at"),
    false,
  ]);
  const words = ["--prompts", "prompts.jsonl", "--batch", "other"];
  const chat = await annotate("--judge", model.path, ...words);
  expect([chat.stderr, chat.code]).toEqual([expect.stringContaining("the model has no head that scores"), 1]);
  const module = await annotate("--judge", "judge.mjs", "--safety-judge", "reward/step-1", ...words);
  expect(module.stderr).toContain("--safety-judge is for a reward model beside it, and judge.mjs is none");
  const wrong = await annotate("--judge", "wrong.mjs", ...words);
  expect(wrong.stderr).toContain('the judge said {"better":"left"}, which is no verdict');
  const same = await criaHere("annotate", `${model.path}@1`, `${model.path}@1`);
  expect(same.stderr).toContain("two of the variants are the same model at the same temperature");
  const another = await cria(work.folder, "annotate", model.path, `${model.path}@2`, "--batch", "other");
  expect(another.stderr).toContain(`the batch "other" compares ${model.path}@1.5 and ${model.path}@0.7`);
});
