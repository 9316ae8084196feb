import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { isNewer } from "../../src/cli/web-pages.ts";

test("pages are built anew when a source was changed or removed after they were, and when there are none", () => {
  const folder = mkdtempSync(join(tmpdir(), "cria-web-pages-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const [page, sources] = [join(folder, "index.html"), join(folder, "web")];
  const inner = join(sources, "chat");
  const source = join(inner, "app.tsx");
  mkdirSync(inner, { recursive: true });
  writeFileSync(source, "");
  expect(isNewer(page, sources)).toBe(false);
  writeFileSync(page, "");
  for (const path of [source, inner, page]) utimesSync(path, 100, 100);
  expect(isNewer(page, sources)).toBe(true);
  utimesSync(source, 101, 101);
  expect(isNewer(page, sources)).toBe(false);
  utimesSync(source, 100, 100);
  utimesSync(inner, 101, 101);
  expect(isNewer(page, sources)).toBe(false);
});
