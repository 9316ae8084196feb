import * as fc from "fast-check";
import { expect, test } from "vitest";
import { decodeText } from "../../src/corpus/text-encoding.ts";

test("UTF-8 is read with and without a byte order mark", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      fc.pre(!text.startsWith("\ufeff") && !text.includes("\ufffd"));
      expect(decodeText(Buffer.from(text))).toBe(text);
      expect(decodeText(Buffer.from(`\ufeff${text}`))).toBe(text);
    }),
  );
});

test("UTF-16 is read when its byte order mark says so", () => {
  const little = Buffer.from("\ufeffWhale — ϰητος", "utf16le");
  expect(decodeText(little)).toBe("Whale — ϰητος");
  expect(decodeText(Buffer.from(little).swap16())).toBe("Whale — ϰητος");
});

test("bytes that are not UTF-8 are Latin-1, with windows-1252's quotation marks", () => {
  expect(decodeText(Buffer.from([0x63, 0x61, 0x66, 0xe9]))).toBe("café");
  expect(decodeText(Buffer.from([0x93, 0x68, 0x69, 0x0a, 0x94, 0x80, 0x9f, 0x81]))).toBe("“hi\n”€Ÿ\u0081");
});

test("a UTF-8 text that was cut within a character stays UTF-8", () => {
  const cut = Buffer.from("naïve café — résumé").subarray(0, -1);
  expect(decodeText(cut)).toBe("naïve café — résum\ufffd");
});

test("no bytes are the empty text", () => {
  expect(decodeText(new Uint8Array())).toBe("");
});
