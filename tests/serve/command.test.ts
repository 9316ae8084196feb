/** `cria serve` as it is typed. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cria } from "../cli/memory-terminal.ts";
import { start, type Running } from "../end-to-end/cria.ts";
import { tinyFolder, type TinyFolder } from "./tiny-served.ts";

let model: TinyFolder;
let folder: string;
beforeAll(() => {
  model = tinyFolder(4096);
  folder = mkdtempSync(join(tmpdir(), "cria-serve-command-"));
  writeFileSync(join(folder, "empty.txt"), "# none yet\n");
});
afterAll(() => {
  model[Symbol.dispose]();
  rmSync(folder, { recursive: true });
});

const common = ["--port", "0", "--threads", "1", "--device", "cpu"];

async function urlOf(running: Running): Promise<string> {
  await running.says(/Listening at \S+\n/);
  return /Listening at (\S+)/.exec(running.written().stderr)![1]!;
}

function chat(url: string, body: object): Promise<Response> {
  return fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ messages: [{ role: "user", content: "a secret" }], ...body }),
  });
}

test("a checkout too has the web page; SIGTERM lets a running answer end, takes no new requests, and ends with 0", async () => {
  const running = start(folder, "serve", model.path, ...common, "--log", "json");
  const url = await urlOf(running);
  expect(await (await fetch(url)).text()).toContain("<title>Cria</title>");
  const answer = await chat(url, { max_tokens: 600, stream: true, ignore_eos: true });
  const reader = answer.body!.getReader();
  await reader.read();
  running.child.kill("SIGTERM");
  let text = "";
  for (let step = await reader.read(); !step.done; step = await reader.read()) {
    text += new TextDecoder().decode(step.value);
  }
  expect(text.trim().endsWith("data: [DONE]")).toBe(true);
  await expect(chat(url, {})).rejects.toThrow();
  const { code, stderr } = await running.ended;
  expect(code).toBe(0);
  const line = JSON.parse(stderr.trim().split("\n").at(-1)!) as object;
  expect(line).toMatchObject({ path: "/v1/chat/completions", status: 200, completionTokens: 600 });
  expect(stderr).not.toContain("secret");
});

test("what it is told about a model reaches the model's process", async () => {
  const options = ["--context", "64", "--cells", "256", "--cache-type", "f16", "--parallel", "2"];
  const shift = ["--context-shift", "--keep", "3"];
  const named = `it=${model.path}`;
  const running = start(folder, "serve", named, ...common, ...options, ...shift);
  const url = await urlOf(running);
  // Longer than its context.
  const answer = await chat(url, { max_tokens: 80, ignore_eos: true });
  expect(await answer.json()).toMatchObject({ usage: { completion_tokens: 80 } });
  const refused = await chat(url, { n: 3 });
  expect(await refused.json()).toMatchObject({ error: { message: "n (3) is above the 2 texts at a time" } });
  const { data } = (await (await fetch(`${url}/v1/models`)).json()) as { data: object[] };
  // Of each of 256 cells a key and a value of two heads of 8 in each of two layers, in f16.
  expect(data).toMatchObject([
    { id: "it", context_tokens: 64, threads: 1, cache_bytes: 256 * 2 * 2 * 2 * 8 * 2, packed_bytes: 0 },
  ]);
  running.child.kill("SIGTERM");
  expect((await running.ended).code).toBe(0);
});

describe("what cannot be is said before anything is opened:", () => {
  test.each([
    [["--host", "0.0.0.0"], /--host 0.0.0.0 lets other machines ask, and no API key is wanted of them/],
    [["--api-key", "short"], /API key 1 has 5 characters/],
    [["--api-key-file", "/absent.txt"], /there is no file of API keys at \/absent.txt/],
    [["--cache-type", "q4"], /there is no cache type "q4"/],
    [["--keep", "4"], /--keep 4 is for a context that shifts\n {2}Give --context-shift too\./],
    [["--cloud", "sagemake"], /--cloud is "sagemake", not one of sagemaker/],
    [
      ["--annotate", "/tmp/none"],
      /annotators could ask the variants by name, for no API key is wanted of anybody\n {2}Give --api-key KEY/,
    ],
    [
      ["--variant", "tiny@1"],
      /--variant is of the annotation page, and there is none\n {2}Give --annotate DIR/,
    ],
    [
      ["--annotate", "/tmp/none", "--api-key", "0123456789abcdef"],
      /annotators compare two variants, and there is tiny@0.8 alone\n.*--variant tiny@0.7 --variant tiny@1/,
    ],
    [
      ["--annotate", "/tmp/none", "--api-key", "0123456789abcdef", "--variant", "other@1"],
      /no model is served by the name "other"\n {2}Give --variant one of tiny\./,
    ],
    [
      ["--annotate", "/tmp/none", "--api-key", "0123456789abcdef", "--cloud", "sagemaker"],
      /--cloud sagemaker answers without a key, which --annotate cannot/,
    ],
  ])("%o", async (options, message) => {
    const { code, stderr } = await cria("serve", model.path, ...common, ...options);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(message);
  });

  test("a file without keys", async () => {
    const file = join(folder, "empty.txt");
    expect((await cria("serve", model.path, ...common, "--api-key-file", file)).stderr).toMatch(
      /has no API key/,
    );
  });

  test("two models of one name", async () => {
    const { stderr } = await cria("serve", model.path, model.path, ...common);
    expect(stderr).toMatch(/would both be called "tiny"\n {2}Name one, as NAME=PATH\./);
  });

  test("a model that is not there", async () => {
    expect((await cria("serve", "absent.gguf", ...common)).stderr).toMatch(/absent\.gguf/);
  });
});
