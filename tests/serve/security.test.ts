/** Who may ask, from where, and how much. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createApp, type AppOptions } from "../../src/serve/app.ts";
import type { LoggedRequest } from "../../src/serve/request-log.ts";
import { createApiKeys } from "../../src/serve/security/keys.ts";
import { readStaticFiles } from "../../src/serve/static.ts";
import { localEngine, type LocalEngine } from "./local-engine.ts";
import { tinyFolder, type TinyFolder } from "./tiny-served.ts";

let folder: TinyFolder;
let engine: LocalEngine;
beforeAll(() => {
  folder = tinyFolder();
  engine = localEngine(folder.path);
});
afterAll(async () => {
  await engine.close();
  folder[Symbol.dispose]();
});

const key = "0123456789abcdef";
const json = { "content-type": "application/json" };

function app(options: Partial<AppOptions> = {}): ReturnType<typeof createApp> {
  return createApp({ engine, ...options });
}

function chat(body: object = {}, headers: Record<string, string> = {}): [string, RequestInit] {
  const request = { messages: [{ role: "user", content: "hi" }], max_tokens: 2, ...body };
  return [
    "/v1/chat/completions",
    { method: "POST", headers: { ...json, ...headers }, body: JSON.stringify(request) },
  ];
}

async function problemOf(response: Response): Promise<{ code: string; message: string }> {
  return ((await response.json()) as { error: { code: string; message: string } }).error;
}

describe("an API key", () => {
  test("is wanted of everybody, by either header, but not by probes and the page", async () => {
    const guarded = app({ apiKeys: ["another-key-of-length", key] });
    const status = async (headers: Record<string, string>): Promise<number> =>
      (await guarded.request("/v1/models", { headers })).status;
    expect(await status({})).toBe(401);
    expect(await status({ authorization: `Bearer ${key}x` })).toBe(401);
    expect(await status({ authorization: `Basic ${key}` })).toBe(401);
    expect(await status({ authorization: `Bearer ${key}` })).toBe(200);
    expect(await status({ "api-key": key })).toBe(200);
    expect(await status({ authorization: `Basic ${btoa(`lea:${key}`)}` })).toBe(200);
    expect(await status({ authorization: `Basic ${btoa("lea:guess")}`, "x-api-key": key })).toBe(200);
    expect((await guarded.request("/health")).status).toBe(200);
    expect((await guarded.request("/ready")).status).toBe(200);
    expect((await guarded.request("/metrics")).status).toBe(401);
    expect((await guarded.request("/v1/models")).headers.get("www-authenticate")).toBe("Bearer");
  });

  test("names its holder by its place, and never appears in the log", async () => {
    expect(createApiKeys(["another-key-of-length", key]).clientOf(key)).toBe("key-2");
    const lines: LoggedRequest[] = [];
    const logged = app({ apiKeys: [key], log: (line) => lines.push(line) });
    await logged.request(...chat({}, { authorization: `Bearer ${key}` }));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ client: "key-1", status: 200, completionTokens: 2, model: "tiny" });
    expect(JSON.stringify(lines)).not.toContain(key);
    expect(JSON.stringify(lines)).not.toContain("hi");
  });

  test("is not one when it is short", () => {
    expect(() => createApiKeys(["short"])).toThrow("API key 1 has 5 characters or white space within");
  });
});

describe("a page of another origin", () => {
  test("may not ask, not even what needs no preflight", async () => {
    const foreign = { origin: "https://evil.example", host: "localhost" };
    expect((await app().request("/v1/models", { headers: foreign })).status).toBe(403);
    const response = await app().request(...chat({}, foreign));
    expect(response.status).toBe(403);
    expect(response.headers.get("access-control-allow-origin")).toBeNull();
    expect((await app().request("/v1/models", { method: "OPTIONS", headers: foreign })).status).toBe(403);
  });

  test("may when it is allowed, and only then", async () => {
    const origin = "https://friend.example";
    const open = app({ corsOrigins: [origin] });
    const preflight = await open.request("/v1/chat/completions", { method: "OPTIONS", headers: { origin } });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-origin")).toBe(origin);
    const response = await open.request(...chat({}, { origin }));
    expect(response.status).toBe(200);
    expect(response.headers.get("access-control-allow-origin")).toBe(origin);
    expect((await open.request(...chat({}, { origin: "https://evil.example" }))).status).toBe(403);
  });

  test("is not the server's own page", async () => {
    const own = { origin: "http://127.0.0.1:8080", host: "127.0.0.1:8080" };
    expect((await app().request(...chat({}, own))).status).toBe(200);
  });

  test("cannot reach a local server by a name of its own (DNS rebinding)", async () => {
    const local = app({ wantsLoopbackHost: true });
    const status = async (host: string): Promise<number> =>
      (await local.request("/v1/models", { headers: { host } })).status;
    expect(await status("evil.example:8080")).toBe(403);
    expect(await status("127.0.0.1.evil.example")).toBe(403);
    expect(await status("localhost:8080")).toBe(200);
    expect(await status("127.0.0.1:8080")).toBe(200);
    expect(await status("[::1]:8080")).toBe(200);
  });
});

test("every answer, also of an error, has the security headers", async () => {
  const responses = [
    await app().request("/health"),
    await app().request("/nowhere"),
    await app().request(...chat({ n: 99 })),
    await app().request(...chat({ stream: true })),
  ];
  for (const { headers } of responses) {
    expect(headers.get("content-security-policy")).toMatch(/default-src 'none'/);
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("x-frame-options")).toBe("DENY");
    expect(headers.get("referrer-policy")).toBe("no-referrer");
  }
  await responses[3]!.text();
});

describe("limits:", () => {
  test("a body that is too long is not read to its end, whatever length it claims", async () => {
    const small = app({ limits: { bodyBytes: 200 } });
    const response = await small.request(...chat({ user: "x".repeat(300) }));
    expect(response.status).toBe(413);
    let pulls = 0;
    const endless = new ReadableStream({
      pull(controller) {
        pulls += 1;
        controller.enqueue(new Uint8Array(100).fill(32));
      },
    });
    const init = { method: "POST", headers: json, body: endless, duplex: "half" } as const;
    expect((await small.request("/v1/chat/completions", init)).status).toBe(413);
    expect(pulls).toBeLessThan(10);
  });

  test.each([
    [{ promptCharacters: 1 }, {}, /the prompt has 2 characters, and 1 are the most/],
    [{ choices: 2 }, { n: 3 }, /n \(3\) is above 2/],
  ])("%o", async (limits, body, message) => {
    const response = await app({ limits }).request(...chat(body));
    expect(response.status).toBe(400);
    expect((await problemOf(response)).message).toMatch(message);
  });

  test("what nests too deep to be passed on is refused, however deep it is", async () => {
    for (const levels of [300, 100_000]) {
      const init = {
        method: "POST",
        headers: json,
        body: `{"messages":${"[".repeat(levels)}${"]".repeat(levels)}}`,
      };
      const response = await app().request("/v1/chat/completions", init);
      expect(response.status).toBe(400);
      expect((await problemOf(response)).message).toBe("The body nests more than 256 levels.");
    }
    const metadata: unknown = JSON.parse("[".repeat(250) + "]".repeat(250));
    expect((await app().request(...chat({ metadata }))).status).toBe(200);
  });

  test("more tokens than the server gives are not given", async () => {
    const response = await app({ limits: { maxTokens: 3 } }).request(...chat({ max_tokens: 50 }));
    expect(await response.json()).toMatchObject({ usage: { completion_tokens: 3 } });
  });

  test("a request that takes too long ends with an error, and its stream too", async () => {
    const hasty = app({ limits: { requestSeconds: 0 } });
    const response = await hasty.request(...chat({ max_tokens: 250, ignore_eos: true }));
    expect(response.status).toBe(504);
    expect((await problemOf(response)).code).toBe("timeout");
    const quick = app({ limits: { requestSeconds: 0.02 } });
    const stream = await quick.request(...chat({ max_tokens: 250, ignore_eos: true, stream: true }));
    expect(await stream.text()).toContain('"code":"timeout"');
  });
});

describe("files of the page", () => {
  let dist: string;
  beforeAll(() => {
    dist = mkdtempSync(join(tmpdir(), "cria-page-"));
    mkdirSync(join(dist, "dist", "assets"), { recursive: true });
    writeFileSync(join(dist, "secret.txt"), "secret");
    writeFileSync(join(dist, "dist", "index.html"), "<!doctype html>");
    writeFileSync(join(dist, "dist", "assets", "app-1a2b.js"), "1");
  });
  afterAll(() => rmSync(dist, { recursive: true }));

  test("are served by their exact paths, with a policy that runs the page's own scripts", async () => {
    const served = app({ page: readStaticFiles(join(dist, "dist"))! });
    const index = await served.request("/");
    expect(index.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(index.headers.get("content-security-policy")).toMatch(/script-src 'self';/);
    expect(index.headers.get("content-security-policy")).not.toMatch(/unsafe/);
    const script = await served.request("/assets/app-1a2b.js");
    expect(script.headers.get("cache-control")).toMatch(/immutable/);
    expect(await script.text()).toBe("1");
  });

  test.each([
    "/../secret.txt",
    "/%2e%2e/secret.txt",
    "/..%2fsecret.txt",
    "/assets/../../secret.txt",
    "/assets",
    "/index.html/",
  ])("nothing else is: %s", async (path) => {
    const served = app({ page: readStaticFiles(join(dist, "dist"))! });
    const response = await served.request(path);
    expect(response.status).toBe(404);
    expect(await response.text()).not.toContain("secret\n");
  });
});
