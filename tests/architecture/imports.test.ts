import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const src = fileURLToPath(new URL("../../src/", import.meta.url));

/** Data flow = folders = import order: a folder imports only itself and folders before it. */
const order = [
  "errors",
  "formats",
  "tokenizer",
  "dialog",
  "corpus",
  "engine",
  "tensor",
  "model",
  "generate",
  "cluster",
  "train",
  "pretrain",
  "sft",
  "gatt",
  "preference",
  "reward",
  "rejection",
  "ppo",
  "rlhf",
  "evaluate",
  "serve",
  "cli",
  "index",
];

/** Third-party packages and the only places that may import them. */
const doors: Record<string, RegExp> = {
  koffi: /^engine\/ffi\.ts$/,
  yaml: /^train\/recipe-file\.ts$/,
  zod: /(^|\/)recipe[a-z-]*\.ts$|^serve\//,
  citty: /^cli\//,
  tar: /^corpus\/npm-package\.ts$/,
  hono: /^serve\//,
  "@hono/node-server": /^serve\//,
  "@huggingface/hub": /^model\/hub\.ts$/,
  "@huggingface/jinja": /^dialog\/template\.ts$/,
  "@electric-sql/pglite": /^preference\/database\.ts$/,
  pg: /^preference\/database\.ts$/,
  hyparquet: /^formats\/parquet\.ts$/,
  "hyparquet-compressors": /^formats\/parquet\.ts$/,
  "hyparquet-writer": /^formats\/parquet\.ts$/,
};

interface Import {
  readonly file: string;
  readonly specifier: string;
}

const imports: Import[] = readdirSync(src, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts"))
  .flatMap((file) =>
    [
      ...readFileSync(join(src, file), "utf8").matchAll(
        /^(?:import|export|\}).*? from "([^"]+)";|^import "([^"]+)";|import\("([^"]+)"\)/gm,
      ),
    ].map((match) => ({
      file: file.split(sep).join("/"),
      specifier: (match[1] ?? match[2] ?? match[3])!,
    })),
  );

test("there are sources to check", () => {
  expect(imports.length).toBeGreaterThan(0);
});

test("imports only point upstream", () => {
  const wrong = imports.filter(({ file, specifier }) => {
    if (!specifier.startsWith(".")) return false;
    const target = folderOf(relative(src, resolve(dirname(join(src, file)), specifier)));
    return order.indexOf(target) > order.indexOf(folderOf(file)) || !order.includes(target);
  });
  expect(wrong).toEqual([]);
});

test("only tensor/ imports engine/", () => {
  const wrong = imports.filter(
    ({ file, specifier }) => specifier.includes("/engine/") && !/^(engine|tensor)\//.test(file),
  );
  expect(wrong).toEqual([]);
});

test("each third-party package has one door", () => {
  const wrong = imports.filter(({ file, specifier }) => {
    if (specifier.startsWith(".") || specifier.startsWith("node:")) return false;
    const name = specifier.startsWith("@")
      ? specifier.split("/").slice(0, 2).join("/")
      : specifier.split("/")[0]!;
    return doors[name]?.test(file) !== true;
  });
  expect(wrong).toEqual([]);
});

test("shelf 1 (text) loads no native code", () => {
  const shelf = /^(errors|formats|tokenizer|dialog|corpus)\//;
  expect(imports.filter(({ file, specifier }) => shelf.test(file) && specifier === "koffi")).toEqual([]);
});

function folderOf(path: string): string {
  return path.split(/[/\\]/)[0]!.replace(/\.ts$/, "");
}
