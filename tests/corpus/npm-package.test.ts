import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { create } from "tar";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { defaultCache, fetchNpmPackage } from "../../src/corpus/npm-package.ts";
import { readSource } from "../../src/corpus/sources.ts";
import { CriaError, FormatError } from "../../src/errors/errors.ts";

/**
 * npm's real client against a registry on this machine (npm registry API: a packument and a tarball per
 * package), so that no test needs the network.
 */
let server: Server;
let origin = "";
let directory = "";
let cache = "";
let requests: string[] = [];
const routes = new Map<string, RequestListener>();
const environment = { ...process.env };

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "cria-npm-test-"));
  cache = join(directory, "cache");
  server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? "");
    requests.push(path);
    const route = routes.get(path);
    if (route === undefined) response.writeHead(404, { "content-type": "application/json" }).end("{}");
    else route(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  Object.assign(process.env, {
    npm_config_registry: origin,
    npm_config_cache: join(directory, "npm-cache"),
    npm_config_userconfig: join(directory, "npmrc"),
    npm_config_fetch_retries: "0",
    npm_config_update_notifier: "false",
    npm_config_offline: "false",
    npm_config_noproxy: "127.0.0.1",
    NO_PROXY: "127.0.0.1",
  });
});

afterAll(async () => {
  for (const name of Object.keys(process.env)) if (!(name in environment)) delete process.env[name];
  Object.assign(process.env, environment);
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(directory, { recursive: true, force: true });
});

beforeEach(() => {
  requests = [];
});

interface Published {
  readonly tarball: Buffer;
  readonly tarballPath: string;
}

/** Puts a package with these files into the registry, at version 1.0.0. */
function publish(name: string, files: Record<string, string>, integrity?: string): Published {
  const root = join(directory, "published", name, "package");
  const all = { "package.json": JSON.stringify({ name, version: "1.0.0" }), ...files };
  for (const [path, content] of Object.entries(all)) {
    const file = join(root, path);
    mkdirSync(dirname(file), { recursive: true });
    if (content.startsWith("-> ")) symlinkSync(content.slice(3), file);
    else writeFileSync(file, content);
  }
  const file = join(root, "..", "package.tgz");
  create({ gzip: true, sync: true, file, cwd: join(root, "..") }, ["package"]);
  return publishTarball(name, readFileSync(file), integrity);
}

function publishTarball(name: string, tarball: Buffer, integrity?: string): Published {
  const tarballPath = `/${name}/-/package-1.0.0.tgz`;
  const dist = {
    tarball: origin + tarballPath,
    integrity: integrity ?? `sha512-${createHash("sha512").update(tarball).digest("base64")}`,
    shasum: createHash("sha1").update(tarball).digest("hex"),
  };
  const packument = {
    name,
    "dist-tags": { latest: "1.0.0" },
    versions: { "1.0.0": { name, version: "1.0.0", dist } },
  };
  routes.set(`/${name}`, (_, response) => {
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(packument));
  });
  routes.set(tarballPath, (_, response) => {
    response.writeHead(200, { "content-length": tarball.length }).end(tarball);
  });
  return { tarball, tarballPath };
}

/** One entry of a tar archive (POSIX.1-2001 ustar), whose header may lie about its size. */
function tarEntry(path: string, content: string, size = content.length): Buffer {
  const header = Buffer.alloc(512);
  header.write(path, 0);
  header.write("0000644\0", 100);
  header.write(`${size.toString(8).padStart(11, "0")}\0`, 124);
  header.write("        ", 148);
  header.write("0", 156);
  header.write("ustar\x0000", 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  const body = Buffer.alloc(Math.ceil(content.length / 512) * 512);
  body.write(content);
  return Buffer.concat([header, body]);
}

/** What the cache holds of packages, temporaries included. */
function cached(): string[] {
  return existsSync(join(cache, "npm")) ? readdirSync(join(cache, "npm")) : [];
}

async function idsOf(spec: string): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id } of readSource({ from: `npm:${spec}` }, { cache }))
    ids.push(id.slice(`npm:${spec}/`.length));
  return ids;
}

describe("fetching", () => {
  test("a package is unpacked into the cache once; the second call asks nobody", async () => {
    publish("@books/whale", { "data/one.txt": "Call me Ishmael.", "index.js": "" });
    const path = await fetchNpmPackage("@books/whale@1.0.0", cache);
    expect(readFileSync(join(path, "data/one.txt"), "utf8")).toBe("Call me Ishmael.");
    expect(requests.filter((url) => url.endsWith(".tgz"))).toHaveLength(1);
    requests = [];
    expect(await fetchNpmPackage("@books/whale@1.0.0", cache)).toBe(path);
    expect(requests).toEqual([]);
  });
  test("no script of the package runs, and none of its dependencies is fetched", async () => {
    const mark = join(directory, "script-ran");
    const scripts = Object.fromEntries(
      ["install", "postinstall", "prepare", "prepack"].map((event) => [event, `touch ${mark}`]),
    );
    const manifest = {
      name: "scripted",
      version: "1.0.0",
      scripts,
      dependencies: { "other-package": "1.0.0" },
    };
    publish("scripted", { "package.json": JSON.stringify(manifest), "a.txt": "a" });
    await fetchNpmPackage("scripted@1.0.0", cache);
    expect(existsSync(mark)).toBe(false);
    expect(requests.some((url) => url.includes("other-package"))).toBe(false);
  });
  test("links in a tarball are not unpacked", async () => {
    publish("linked", { "a.txt": "a", "b.txt": "-> ../../../secret.txt" });
    expect(readdirSync(await fetchNpmPackage("linked@1.0.0", cache)).toSorted()).toEqual([
      "a.txt",
      "package.json",
    ]);
  });
});

describe("the texts of a package", () => {
  test("are those under data/ if there are any", async () => {
    publish("with-data", {
      "data/b/2.txt": "2",
      "data/1.txt": "1",
      "data/1.json": "{}",
      "docs/guide.txt": "",
      "README.md": "",
    });
    expect(await idsOf("with-data@1.0.0")).toEqual(["data/1.txt", "data/b/2.txt"]);
  });
  test("are else all but the licence, the readme and their like", async () => {
    publish("plain", {
      "book.txt": "b",
      "more/lines.jsonl": '{"text":"l"}',
      "LICENSE.txt": "",
      "readme.txt": "",
      "licence-mit.txt": "",
      "CHANGELOG.txt": "",
    });
    expect(await idsOf("plain@1.0.0")).toEqual(["book.txt", "more/lines.jsonl#1"]);
  });
});

describe("failures leave nothing in the cache and say what to do", () => {
  test("a package or version that does not exist", async () => {
    await expect(fetchNpmPackage("no-such-package@1.0.0", cache)).rejects.toThrow(
      /^cannot fetch npm:no-such-package@1\.0\.0: .*Not Found/,
    );
    publish("known", {});
    await expect(fetchNpmPackage("known@9.9.9", cache)).rejects.toMatchObject({
      name: "ConfigError",
      mend: "Check the package's name and version.",
    });
    expect(cached().filter((name) => /no-such|known/.test(name))).toEqual([]);
  });
  test("a tarball that is not the one the registry describes", async () => {
    publish("altered", { "a.txt": "a" }, `sha512-${createHash("sha512").update("other").digest("base64")}`);
    await expect(fetchNpmPackage("altered@1.0.0", cache)).rejects.toThrow(FormatError);
    await expect(fetchNpmPackage("altered@1.0.0", cache)).rejects.toThrow(
      "npm:altered@1.0.0: the tarball is not the one that the registry describes",
    );
    expect(cached().filter((name) => name.includes("altered"))).toEqual([]);
  });
  test("a registry that describes another tarball a moment later: what lies on the disk is what counts", async () => {
    publish("shifting", { "a.txt": "a" }, `sha512-${createHash("sha512").update("other").digest("base64")}`);
    const first = routes.get("/shifting")!;
    publish("shifting", { "a.txt": "a" });
    const second = routes.get("/shifting")!;
    let asked = 0;
    routes.set("/shifting", (request, response) => {
      asked += 1;
      (asked === 1 ? first : second)(request, response);
    });
    await expect(fetchNpmPackage("shifting@1.0.0", cache)).rejects.toThrow(
      /^npm:shifting@1\.0\.0: the tarball is sha512-.*, but the registry says sha512-/,
    );
    expect(cached()).not.toContain("shifting@1.0.0");
  });
  test("a download that breaks off; the next call fetches it whole", async () => {
    const { tarball, tarballPath } = publish("broken", { "a.txt": "a".repeat(1000) });
    const whole = routes.get(tarballPath)!;
    routes.set(tarballPath, (_, response) => {
      response.writeHead(200, { "content-length": tarball.length });
      response.write(tarball.subarray(0, tarball.length / 2), () => response.destroy());
    });
    await expect(fetchNpmPackage("broken@1.0.0", cache)).rejects.toMatchObject({
      message: expect.stringMatching(/^cannot fetch npm:broken@1\.0\.0: /) as string,
      mend: expect.stringContaining("nothing was kept of the download") as string,
    });
    expect(cached().filter((name) => name.includes("broken"))).toEqual([]);
    routes.set(tarballPath, whole);
    expect(readdirSync(await fetchNpmPackage("broken@1.0.0", cache))).toContain("a.txt");
  });
  test("a tarball that claims to unpack to more than 4 GiB, before any of it is written", async () => {
    const manifest = tarEntry("package/package.json", '{"name":"bomb","version":"1.0.0"}');
    const bomb = tarEntry("package/data/a.txt", "", 5 * 1024 ** 3);
    publishTarball("bomb", gzipSync(Buffer.concat([manifest, bomb, Buffer.alloc(1024)])));
    await expect(fetchNpmPackage("bomb@1.0.0", cache)).rejects.toThrow(
      "npm:bomb@1.0.0: unpacks to more than 4 GiB or 200000 files",
    );
    expect(cached()).not.toContain("bomb@1.0.0");
  });
  test("a path that leads out of the directory is not written there", async () => {
    const manifest = tarEntry("package/package.json", '{"name":"escape","version":"1.0.0"}');
    const outside = tarEntry("package/../../../escaped.txt", "x");
    publishTarball("escape", gzipSync(Buffer.concat([manifest, outside, Buffer.alloc(1024)])));
    await fetchNpmPackage("escape@1.0.0", cache).catch((error: unknown) =>
      expect(error).toBeInstanceOf(CriaError),
    );
    const everything = readdirSync(directory, { recursive: true, encoding: "utf8" });
    expect(everything.filter((path) => path.endsWith("escaped.txt"))).toEqual([]);
  });
  test("an abort, before or while npm waits for the registry", async () => {
    const { tarballPath } = publish("slow", { "a.txt": "a" });
    const abort = new AbortController();
    routes.set(tarballPath, () => abort.abort(new Error("stopped")));
    await expect(fetchNpmPackage("slow@1.0.0", cache, abort.signal)).rejects.toThrow("stopped");
    requests = [];
    await expect(fetchNpmPackage("slow@1.0.0", cache, abort.signal)).rejects.toThrow("stopped");
    expect(requests).toEqual([]);
    expect(cached().filter((name) => name.includes("slow"))).toEqual([]);
  });
});

test.each([
  "whale",
  "whale@latest",
  "whale@^1.0.0",
  "--help@1.0.0",
  "../x@1.0.0",
  "https://x/y.tgz",
  "a@1.0.0 b",
  "a/b@1.0.0",
  "",
])("%j is refused: a corpus is one version of a package", async (spec) => {
  await expect(fetchNpmPackage(spec, cache)).rejects.toThrow(
    `${JSON.stringify(spec)} does not name one version of an npm package`,
  );
  expect(requests).toEqual([]);
});

test("the cache is $CRIA_CACHE, else cria in $XDG_CACHE_HOME, else in ~/.cache", () => {
  delete process.env["CRIA_CACHE"];
  delete process.env["XDG_CACHE_HOME"];
  expect(defaultCache()).toMatch(/[/\\]\.cache[/\\]cria$/);
  process.env["XDG_CACHE_HOME"] = join("/", "xdg");
  expect(defaultCache()).toBe(join("/", "xdg", "cria"));
  process.env["CRIA_CACHE"] = join("/", "own");
  expect(defaultCache()).toBe(join("/", "own"));
});
