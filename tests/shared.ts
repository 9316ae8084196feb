import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe } from "vitest";

/**
 * Real third-party data (weights, tokenizers, references) that lies beside the checkout on some
 * machines and is never committed. Tests that want it skip, and say so, where it is absent.
 */
const sharedData = fileURLToPath(new URL("../../shared/data/", import.meta.url));

export function sharedFile(path: string): string {
  return sharedData + path;
}

/** `describe`, or `describe.skip` with the reason in the title. */
export function describeWithSharedData(title: string, body: () => void): void {
  const isPresent = existsSync(sharedData);
  describe.skipIf(!isPresent)(isPresent ? title : `${title} (skipped: no ../shared/data here)`, body);
}
