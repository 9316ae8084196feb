import * as fc from "fast-check";
import { expect, test } from "vitest";
import {
  displayWidth,
  fit,
  formatBytes,
  formatCount,
  formatDuration,
  formatNumberOf,
  printable,
  styleFor,
  table,
} from "../../src/cli/terminal.ts";

function bold(isTTY: boolean, environment: Record<string, string>): string {
  return styleFor({ isTTY }, environment).bold("x");
}

test("colour needs a terminal that wants it", () => {
  expect(bold(true, {})).toBe("\u001B[1mx\u001B[22m");
  expect(bold(true, { NO_COLOR: "" })).toBe("\u001B[1mx\u001B[22m");
  expect(bold(true, { NO_COLOR: "1" })).toBe("x");
  expect(bold(true, { TERM: "dumb" })).toBe("x");
  expect(bold(false, {})).toBe("x");
});

test("width is what the terminal shows", () => {
  expect(displayWidth("abc")).toBe(3);
  expect(displayWidth("\u001B[1mabc\u001B[22m")).toBe(3);
  expect(displayWidth("e\u0301")).toBe(1);
  expect(displayWidth("한국어")).toBe(6);
  expect(displayWidth("ｆｕｌｌ")).toBe(8);
  expect(displayWidth("👩‍👩‍👧")).toBe(2);
  expect(displayWidth("▁Hello…")).toBe(7);
  expect(displayWidth("\u0000\u200B")).toBe(0);
});

test("a table aligns its columns by width, and has no trailing spaces", () => {
  const rows = [
    ["名前", "7", "x"],
    ["name", "1024", ""],
  ];
  expect(table(rows, { right: [1], indent: "> " })).toBe("> 名前     7  x\n> name  1024\n");
});

test("a text is cut to a width, never beyond it, and not where it fits", () => {
  expect(fit("abcdef", 4)).toBe("abc…");
  expect(fit("한국어", 4)).toBe("한…");
  expect(fit("abc", 3)).toBe("abc");
  expect(fit("abc", 0)).toBe("");
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.nat(20), (text, width) => {
      expect(displayWidth(fit(text, width))).toBeLessThanOrEqual(width);
    }),
  );
});

test("a foreign text cannot move the cursor nor turn the line round", () => {
  expect(printable("a\u001B[2Jb\r\nc\u202Ed\u009B")).toBe("a\uFFFD[2Jb\uFFFD⏎c\uFFFDd\uFFFD");
});

test("bytes have three digits and a unit", () => {
  expect([0, 999, 1000, 1536, 99_950, 13_476_831_232].map(formatBytes)).toEqual([
    "0 B",
    "999 B",
    "1.00 kB",
    "1.54 kB",
    "100 kB",
    "13.5 GB",
  ]);
});

test("counts are exact below ten thousand", () => {
  expect([0, 9999, 10_000, 6_738_415_616, 2e12].map(formatCount)).toEqual([
    "0",
    "9999",
    "10.0 K",
    "6.74 B",
    "2.00 T",
  ]);
  expect(formatNumberOf(1, "document")).toBe("1 document");
  expect(formatNumberOf(0, "document")).toBe("0 documents");
});

test("durations are as a person says them", () => {
  const seconds = [0, 0.85, 0.9996, 9.94, 59.6, 61, 3599.7, 3600, 7800, 172_800, Number.NaN];
  expect(seconds.map(formatDuration)).toEqual([
    "0 ms",
    "850 ms",
    "1.0 s",
    "9.9 s",
    "1 min 00 s",
    "1 min 01 s",
    "1 h 00 min",
    "1 h 00 min",
    "2 h 10 min",
    "2 d 00 h",
    "?",
  ]);
});
