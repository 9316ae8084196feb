import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { makeDirectory } from "../../src/formats/make-directory.ts";

test("a directory is made with its parents, and once more for nothing", () => {
  const folder = mkdtempSync(join(tmpdir(), "cria-make-"));
  try {
    makeDirectory(join(folder, "a/b"));
    makeDirectory(join(folder, "a/b"));
    expect(existsSync(join(folder, "a/b"))).toBe(true);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("where the working directory was deleted, it returns", () => {
  const folder = mkdtempSync(join(tmpdir(), "cria-make-"));
  const script = `
    import { rmSync } from "node:fs";
    import { makeDirectory } from ${JSON.stringify(new URL("../../src/formats/make-directory.ts", import.meta.url).href)};
    process.chdir(${JSON.stringify(folder)});
    // As in any command that has looked at its folder before.
    process.cwd();
    rmSync(${JSON.stringify(folder)}, { recursive: true });
    makeDirectory("a/b");
    console.log("returned");
  `;
  const tsx = new URL("../../node_modules/tsx/dist/esm/index.mjs", import.meta.url).href;
  const said = execFileSync(process.execPath, ["--import", tsx, "--input-type=module", "-e", script], {
    timeout: 20_000,
    encoding: "utf8",
  });
  expect(said).toBe("returned\n");
  rmSync(folder, { recursive: true, force: true });
});
