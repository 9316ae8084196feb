import { expect, test } from "vitest";
import { bitsPerByte } from "../../src/train/validation.ts";

test("bits per byte: nats of all tokens but the first, which nothing predicts, over the text's bytes", () => {
  // 4 predictions of one bit each, of 8 bytes.
  expect(bitsPerByte(Math.LN2, { tokens: 5, bytes: 8 })).toBe(0.5);
  // As many predictions as bytes, each a choice of 256.
  expect(bitsPerByte(8 * Math.LN2, { tokens: 101, bytes: 100 })).toBe(8);
});
