import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { hubName, modelPath } from "../../src/formats/model-cache.ts";
import { filesToFetch, type HubFile } from "../../src/model/hub-files.ts";
import { pullModel, type PullOptions } from "../../src/model/hub.ts";
import { readModelFiles } from "../../src/model/load.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { openTokenizer } from "../../src/tokenizer/open.ts";
import { saveCheckpoint } from "../../src/train/checkpoint.ts";
import { messageOf, openWorkspace } from "../formats/workspace.ts";
import { tinyConfig, tinyWeights } from "../tiny-model.ts";
import { fable } from "../tokenizer/fable.ts";
import { openHub, type Faults } from "./hub-server.ts";

let workspace: ReturnType<typeof openWorkspace>;
beforeEach(() => {
  workspace = openWorkspace();
  vi.stubEnv("CRIA_CACHE", workspace.file("cache"));
});
afterEach(() => {
  vi.unstubAllEnvs();
  workspace[Symbol.dispose]();
});

const model = "hf://owner/name";
const name = hubName(model)!;
const folder = (): string => workspace.file("cache/models/owner/name");
/** Over a megabyte, below which the library does not ask for ranges. */
const large = Uint8Array.from({ length: 1_500_000 }, (_, i) => (i * i) % 251);
const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const pull = (endpoint: string, options: Partial<PullOptions> = {}) =>
  pullModel({ name, endpoint, waits: [1, 1, 1, 1], ...options });

async function refused(faults: Faults, options: Partial<PullOptions> = {}): Promise<string> {
  await using hub = await openHub({ "model.gguf": large }, faults);
  const error = await pull(hub.url, options).catch((cause: unknown) => cause);
  return (
    String(error).replaceAll(hub.url, "HUB").replaceAll(workspace.file("."), "/tmp") +
    `\n${(error as { mend?: string }).mend?.replaceAll(hub.url, "HUB")}`
  );
}

test("a model's folder is fetched, opens by its name, and is not fetched twice", async () => {
  const tokenizer = fable();
  {
    using backend = openBackend({ threads: 1 });
    using weights = tinyWeights(backend, { ...tinyConfig, vocabSize: tokenizer.vocabSize });
    saveCheckpoint(workspace.file("made"), { weights, tokenizer, run: { step: 0 } });
  }
  const names = readdirSync(workspace.file("made"));
  const files = Object.fromEntries(names.map((file) => [file, readFileSync(workspace.file(`made/${file}`))]));
  await using hub = await openHub({ ...files, "README.md": text("# A model"), "pytorch_model.bin": large });
  const seen: number[] = [];
  const { path, bytes } = await pull(hub.url, { onProgress: ({ done }) => void seen.push(done) });
  expect(path).toBe(folder());
  expect(seen.at(-1)).toBe(bytes);
  expect(readModelFiles(model).config.dim).toBe(tinyConfig.dim);
  expect(openTokenizer(model).vocabSize).toBe(tokenizer.vocabSize);
  const fetched = readdirSync(folder());
  expect(fetched).toContain("model.safetensors");
  expect(fetched.filter((file) => /README|pytorch|\.part$/.test(file))).toEqual([]);
  const asked = hub.requests.length;
  await pull(hub.url);
  expect(hub.requests).toHaveLength(asked);
});

test("what breaks off goes on where it stood, also in another run", async () => {
  await using hub = await openHub({ "model.gguf": large }, { breakAfter: [400_000, 300_000] });
  const error = await pull(hub.url, { waits: [1] }).catch((cause: unknown) => cause);
  expect(String(error)).toMatch(/cannot be reached/);
  const part = readdirSync(folder()).find((file) => file.endsWith(".part"));
  expect(readFileSync(join(folder(), part!))).toHaveLength(700_000);
  expect(messageOf(() => modelPath(model))).toBe("ConfigError: hf://owner/name is not on this machine");
  const { path } = await pull(hub.url);
  expect(readFileSync(path).equals(large)).toBe(true);
  expect(hub.requests.map(({ range }) => range)).toContain("bytes=700000-1499999");
  expect(existsSync(join(folder(), part!))).toBe(false);
});

test("contents with another hash are thrown away", async () => {
  expect(await refused({ hasWrongHashes: true })).toMatch(
    /model\.gguf came with the hash [0-9a-f]{64}, and the Hub lists 0{64}/,
  );
  expect(readdirSync(folder())).toEqual([]);
});

test("a gated model says where to accept its licence, and opens with the token", async () => {
  expect(await refused({ status: 401 })).toMatchInlineSnapshot(`
    "ConfigError: the Hub does not give owner/name to everybody
    Open HUB/owner/name, log in, accept the licence there; make a token that may read at HUB/settings/tokens; set HF_TOKEN to it and pull again."
  `);
  expect(await refused({ status: 403 }, { token: "hf_bad" })).toMatchInlineSnapshot(`
    "ConfigError: the Hub does not give owner/name to this token
    Open HUB/owner/name with the token's account, accept the licence there, and wait until its owner agrees; then pull again."
  `);
  expect(await refused({}, { token: "bad" })).toMatch(/^ConfigError: HF_TOKEN is no token of the Hub/);
  await using hub = await openHub({ "model.gguf": large }, { status: 401 });
  expect((await pull(hub.url, { token: "hf_good" })).files).toEqual(["model.gguf"]);
});

test("a model that is not there, a Hub that fails, and none at all are told apart", async () => {
  expect(await refused({ status: 404 })).toMatchInlineSnapshot(`
    "ConfigError: there is no model owner/name at HUB
    Check its spelling; a private one wants a token in HF_TOKEN."
  `);
  expect(await refused({ status: 503 })).toMatchInlineSnapshot(`
    "ConfigError: the Hub answered for owner/name with status 503
    Pull again later: what has come so far is kept."
  `);
  expect(String(await pull("http://127.0.0.1:1", { waits: [] }).catch((cause: unknown) => cause))).toMatch(
    /owner\/name cannot be reached: /,
  );
});

test.skipIf(!existsSync("/dev/full"))("a full disk is said with the mend", async () => {
  mkdirSync(folder(), { recursive: true });
  const hash = createHash("sha256").update(large).digest("hex");
  symlinkSync("/dev/full", join(folder(), `model.gguf.${hash.slice(0, 12)}.part`));
  expect(await refused({})).toMatchInlineSnapshot(`
    "ConfigError: the disk of /tmp/cache/models/owner/name is full: while model.gguf was written
    Make room, or set CRIA_CACHE to a folder on another disk; pull again and it goes on where it stood."
  `);
});

describe("a name", () => {
  test("is an owner's and a model's, and perhaps a file's", () => {
    expect(hubName("hf://a/b-1.0:q/x.Q4_K_M.gguf")).toEqual({ repo: "a/b-1.0", file: "q/x.Q4_K_M.gguf" });
    expect(hubName("./model.gguf")).toBeUndefined();
  });
  test.each([
    "hf://",
    "hf://a",
    "hf://a/b/c",
    "hf://../b",
    "hf://a/..",
    "hf://a/b:../../c",
    "hf://a/b:/etc/passwd",
  ])("is refused when it is %s", (wrong) => {
    expect(messageOf(() => hubName(wrong))).toMatch(/^ConfigError: .* is no name on the Hugging Face Hub$/);
  });
  test("that has several models here wants one of them named", () => {
    mkdirSync(folder(), { recursive: true });
    const fetched = { "a.gguf": "1", "b.gguf": "2" };
    for (const file of Object.keys(fetched)) writeFileSync(join(folder(), file), "");
    writeFileSync(join(folder(), ".cria-fetched.json"), JSON.stringify(fetched));
    expect(messageOf(() => modelPath(model))).toBe(
      "ConfigError: hf://owner/name has several models here: a.gguf, b.gguf",
    );
    expect(modelPath(`${model}:b.gguf`)).toBe(join(folder(), "b.gguf"));
  });
});

describe("of a repository's files", () => {
  const listed = (...paths: string[]): HubFile[] =>
    paths.map((path) => ({ path, bytes: 1, hash: path, isLarge: false }));
  const chosen = (files: HubFile[], file?: string): string[] =>
    filesToFetch(files, "o/n", file).map(({ path }) => path);

  test("safetensors are taken before PyTorch's, with index, configuration and tokenizer", () => {
    const files = listed(
      "model-00001-of-00002.safetensors",
      "model-00002-of-00002.safetensors",
      "model.safetensors.index.json",
      "pytorch_model.bin",
      "pytorch_model.bin.index.json",
      "config.json",
      "tokenizer.model",
      "original/consolidated.00.pth",
      "q4.gguf",
    );
    expect(chosen(files)).toEqual([
      "model-00001-of-00002.safetensors",
      "model-00002-of-00002.safetensors",
      "model.safetensors.index.json",
      "config.json",
      "tokenizer.model",
    ]);
  });
  test("of several GGUF files the one in q4_k_m is taken, and all its parts", () => {
    expect(chosen(listed("x.Q2_K.gguf", "x.Q4_K_M.gguf"))).toEqual(["x.Q4_K_M.gguf"]);
    const parts = listed("x-00001-of-00002.gguf", "x-00002-of-00002.gguf");
    expect(chosen(parts)).toHaveLength(2);
    expect(chosen(parts, "x-00001-of-00002.gguf")).toHaveLength(2);
    expect(messageOf(() => chosen(listed("x.Q2_K.gguf", "x.Q8_0.gguf")))).toBe(
      "ConfigError: o/n has 2 models: x.Q2_K.gguf, x.Q8_0.gguf",
    );
  });
  test("one that is not there is refused", () => {
    expect(messageOf(() => chosen(listed("x.gguf"), "y.gguf"))).toBe('ConfigError: o/n has no file "y.gguf"');
    expect(messageOf(() => chosen(listed("README.md")))).toMatch(/has no model that Cria reads/);
  });
});
