import { describe, expect, test } from "vitest";
import { dropDuplicates, dropOverlapping } from "../../src/corpus/dedup.ts";

function documents(...texts: string[]) {
  return texts.map((text, i) => ({ id: String(i), text }));
}

function ids(kept: { id: string }[]): string {
  return kept.map(({ id }) => id).join(" ");
}

const lines = Array.from(
  { length: 40 },
  (_, i) => `Line ${"abcdefghij"[i % 10]}${"klmn"[Math.floor(i / 10)]} of the book.`,
);
const chapters = [0, 1, 2, 3].map((i) => lines.slice(10 * i, 10 * i + 10).join("\n\n"));

describe("exact duplicates", () => {
  test("of documents equal up to white space the first stays", () => {
    expect(ids(dropDuplicates(documents("a b", "c", " a\n\n  b ", "ab", "c")))).toBe("0 1 3");
  });
  test("case and punctuation make a difference", () => {
    expect(ids(dropDuplicates(documents("Call me Ishmael.", "call me Ishmael", "Call me Ishmael.")))).toBe(
      "0 1",
    );
  });
});

describe("overlapping documents", () => {
  test("a book beside its chapters goes, wherever it stands", () => {
    expect(ids(dropOverlapping(documents(lines.join("\n"), ...chapters)))).toBe("1 2 3 4");
    expect(ids(dropOverlapping(documents(...chapters, lines.join("\n"))))).toBe("0 1 2 3");
  });
  test("an excerpt beside the whole goes", () => {
    expect(ids(dropOverlapping(documents(chapters[2]!, lines.join("\n"))))).toBe("1");
  });
  test("editions that differ in quotation marks, dashes and case are the same", () => {
    expect(
      ids(dropOverlapping(documents("“Well—then,” said I.\nYes.", "'WELL -- THEN', said I.\nYes!"))),
    ).toHaveLength(1);
  });
  test("documents that share up to the given part both stay", () => {
    const other = [...lines.slice(0, 30), ...lines.slice(0, 10).map((line) => `Another ${line}`)].join("\n");
    expect(ids(dropOverlapping(documents(lines.join("\n"), other)))).toBe("0 1");
    expect(ids(dropOverlapping(documents(lines.join("\n"), other), 0.5))).toHaveLength(1);
  });
  test("documents without letters or digits say nothing that could overlap", () => {
    expect(ids(dropOverlapping(documents("***", "---", "")))).toBe("0 1 2");
  });
});
