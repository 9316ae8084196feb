#!/usr/bin/env node
// The command. In a checkout it runs the sources through tsx; in an installed package, the build.
import { existsSync } from "node:fs";

const source = new URL("../src/cli/main.ts", import.meta.url);
if (existsSync(source)) {
  const { tsImport } = await import("tsx/esm/api");
  await tsImport(source.href, import.meta.url);
} else {
  await import("../dist/cli/main.js");
}
