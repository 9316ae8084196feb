import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, test } from "vitest";

/**
 * Real third-party data (weights, tokenizers, references) that lies beside the checkout on some
 * machines and is never committed. Tests that want it skip, and say so, where it is absent.
 */
const sharedData = fileURLToPath(new URL("../../shared/data/", import.meta.url));

export function sharedFile(path: string): string {
  return sharedData + path;
}

/** `describe`, or one skipped test that says why: the body itself may read the data, so it does not run. */
export function describeWithSharedData(title: string, body: () => void): void {
  if (existsSync(sharedData)) describe(title, body);
  else test.skip(`${title} (no ../shared/data here)`, () => {});
}
