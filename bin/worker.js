#!/usr/bin/env node
// The process of one model, which `cria serve` starts. As with the command, a checkout runs the sources.
import { existsSync } from "node:fs";

const source = new URL("../src/serve/worker/main.ts", import.meta.url);
if (existsSync(source)) {
  const { tsImport } = await import("tsx/esm/api");
  await tsImport(source.href, import.meta.url);
} else {
  await import("../dist/serve/worker/main.js");
}
