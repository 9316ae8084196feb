import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cleanDocument } from "../../src/corpus/clean.ts";
import { decodeText } from "../../src/corpus/text-encoding.ts";
import { describeWithSharedData, sharedFile } from "../shared.ts";

function clean(text: string): string | undefined {
  return cleanDocument({ id: "test", text })?.text;
}

/** Words on lines of at most `width` characters, as an editor fills them. */
function fill(words: readonly string[], width: number): string {
  const lines: string[] = [];
  for (const word of words) {
    const line = lines.at(-1);
    if (line !== undefined && line.length + 1 + word.length <= width)
      lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines.join("\n");
}

const prose =
  "The harbour lay quiet under a low sky, and the boats that had come in before dawn were drawn up on the shingle in a row. Nobody spoke of the storm. The old men mended their nets and watched the water, which had turned the colour of slate, and waited for the wind to say what it meant to do with the day.";
const paragraphs = [prose, `Later ${prose}`, prose.replace("harbour", "village")];
const wrapped = paragraphs.map((text) => fill(text.split(" "), 70)).join("\n\n");

describe("hard-wrapped lines", () => {
  test("a wrapped paragraph becomes one line", () => {
    expect(clean(wrapped)).toBe(paragraphs.join("\n\n"));
  });
  test("wrapping a text at any usual width and cleaning it gives the text back", () => {
    fc.assert(
      fc.property(fc.integer({ min: 60, max: 80 }), (width) => {
        expect(clean(paragraphs.map((text) => fill(text.split(" "), width)).join("\n\n"))).toBe(
          paragraphs.join("\n\n"),
        );
      }),
    );
  });
  test("verse, headings and tables within wrapped prose keep their lines", () => {
    const verse = "  O hear the bell\n  across the swell,\n  it tolls for thee and me.";
    const table = "1801  12\n1802  15\n1803  11";
    expect(clean(`CHAPTER I\nThe Harbour\n\n${wrapped}\n\n${verse}\n\n${table}\n\n${prose}`)).toBe(
      `CHAPTER I\nThe Harbour\n\n${paragraphs.join("\n\n")}\n\n${verse}\n\n${table}\n\n${prose}`,
    );
  });
  test("an indented first line begins a paragraph also without a blank line", () => {
    const indented = paragraphs.map((text) => fill(text.split(" "), 70).replace(/^/, "   ")).join("\n");
    expect(clean(indented)).toBe(paragraphs.map((text) => `   ${text}`).join("\n"));
  });
  test("a line that is indented deeper begins a paragraph also after a full one", () => {
    const last = "and so it went on, year after year, until nobody asked about it more.";
    expect(clean(`${wrapped}\n\n${last}\n   Then she laughed.`)).toContain(`${last}\n   Then she laughed.`);
    expect(clean(`${wrapped}\n\n${last}\nThen she laughed.`)).toContain(`${last} Then she laughed.`);
  });
  test("a line that ends in a dash or a hyphen is joined without a space", () => {
    const start = wrapped + "\n\n";
    const line = "They said that it was only the wind in the rigging and the rain, well-";
    expect(clean(`${start}${line}\nmeant words, and`)).toContain("the rain, well-meant words, and");
    expect(clean(`${start}${line}-\nmeant words, and`)).toContain("the rain, well--meant words, and");
  });
  test("a document of short lines, or of a paragraph per line, is left as it is", () => {
    const verse = Array.from({ length: 40 }, (_, i) => `a short line of verse, number ${i}`).join("\n");
    expect(clean(verse)).toBe(verse);
    expect(clean(paragraphs.join("\n"))).toBe(paragraphs.join("\n"));
  });
  test("lines that happen to be of some 80 characters, like a chat's, are not joined", () => {
    const chat = Array.from({ length: 60 }, (_, i) => `${"word ".repeat((i * 7) % 17)}end of turn ${i}`).join(
      "\n",
    );
    expect(clean(chat)).toBe(chat);
  });
});

describe("characters", () => {
  test("line ends become \\n, trailing space goes", () => {
    expect(clean("a  \r\nb\t\rc\u2028d")).toBe("a\nb\nc\nd");
  });
  test("byte order marks, control characters, half surrogates and replacement characters go; tabs stay", () => {
    expect(clean("\ufeffa\u0002b\u0085c\tdé\u007f\ud800e\ufffd😀")).toBe("ab\nc\tdée😀");
  });
  test("of more than two blank lines two are kept, at the ends none", () => {
    expect(clean("\n\na\n\n\n\n\nb\n\nc\n\n")).toBe("a\n\n\nb\n\nc");
  });
  test("cleaning twice is cleaning once, for text that is not wrapped", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "binary", maxLength: 20 })), (lines) => {
        const once = clean(lines.join("\n"));
        if (once !== undefined) expect(clean(once)).toBe(once);
      }),
    );
  });
});

test("a document with fewer than minCharacters is dropped, one with nothing left always", () => {
  expect(cleanDocument({ id: "a", text: "12345" }, 5)).toEqual({ id: "a", text: "12345" });
  expect(cleanDocument({ id: "a", text: " 1234 \n\n" }, 6)).toBeUndefined();
  expect(cleanDocument({ id: "a", text: "\ufeff \r\n" }, 0)).toBeUndefined();
});

describe("Project Gutenberg's frame", () => {
  const body = "CHAPTER I\n\nIt began.";
  test.each([
    [
      "since 2004",
      "*** START OF THIS PROJECT GUTENBERG EBOOK A BOOK ***",
      "*** END OF THIS PROJECT GUTENBERG EBOOK A BOOK ***",
    ],
    [
      "today",
      "*** START OF THE PROJECT GUTENBERG EBOOK A BOOK ***",
      "*** END OF THE PROJECT GUTENBERG EBOOK A BOOK ***",
    ],
    [
      "without spaces",
      "***START OF THE PROJECT GUTENBERG EBOOK A BOOK***",
      "***END OF THE PROJECT GUTENBERG EBOOK A BOOK***",
    ],
    [
      "with a title over two lines",
      "*** START OF THE PROJECT GUTENBERG EBOOK A VERY\nLONG TITLE ***",
      "*** END OF THE PROJECT GUTENBERG EBOOK A VERY\nLONG TITLE ***",
    ],
  ])("%s: the text is what stands between the marks", (_, start, end) => {
    const file = `The Project Gutenberg EBook of A Book\r\n\r\n${start}\r\n\r\nProduced by A. Reader\r\nand others\r\n\r\n${body}\r\n\r\nEnd of the Project Gutenberg EBook of A Book\r\n\r\n${end}\r\n\r\n*** START: FULL LICENSE ***\r\n`;
    expect(clean(file)).toBe(body);
  });
  test('the 1990s\' letter ends with the small print, the text with the file or with "End of"', () => {
    const header =
      "***This is the Project Gutenberg Etext of A Book***\n\n***START**THE SMALL PRINT!**FOR PUBLIC DOMAIN ETEXTS**START***\nWhy is this here?\n*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\n";
    const long = `${body}\n\n${"More.\n\n".repeat(10)}The last.`;
    expect(clean(`${header}\n${long}\n`)).toBe(long);
    expect(clean(`${header}\n${long}\n\nEnd of Project Gutenberg's Etext of A Book\n`)).toBe(long);
  });
  test("a text that only speaks of Project Gutenberg is left whole", () => {
    const essay = "I read it on Project Gutenberg.\n\n*** \n\nProduced by hand, it was.";
    expect(clean(essay)).toBe(essay.replace("*** ", "***"));
  });
});

describeWithSharedData("real Project Gutenberg files", () => {
  test.each([
    ["11-0.txt", /^ALICE’S ADVENTURES IN WONDERLAND\n/, /THE END$/],
    ["1342-0.txt", /^PRIDE AND PREJUDICE\n/, /had been the means of uniting them\.”?$/],
    ["1661.txt", /^THE ADVENTURES OF SHERLOCK HOLMES\n/, /met with considerable success\.$/],
    ["84-0.txt", /^Frankenstein;\n/, /lost in darkness and distance\.$/],
    ["35-0.txt", /^The Time Machine\n/, /still lived on in the heart of man\.$/],
    ["36-0.txt", /^by H\. G\. Wells\n/, /counted me, among the dead\.$/],
    ["972.txt", /^THE DEVIL'S DICTIONARY\n/, /sheds its horn every two years\.$/],
    ["345-8.txt", /^ +DRACULA\n/, /from Dardanelles \{pg 313\}$/],
    ["old/alice30.txt", /^ +ALICE'S ADVENTURES IN WONDERLAND\n/, /THE END$/],
  ])("%s: from the title to the last sentence, in paragraphs", (name, start, end) => {
    const bytes = readFileSync(sharedFile(`pretrain/gutenberg/${name}`));
    const text = clean(decodeText(bytes))!;
    expect(text).toMatch(start);
    expect(text).toMatch(end);
    expect(text).not.toMatch(/gutenberg|\r|\ufffd/i);
    // Prose of one line per paragraph: half of the text is in lines that were longer than any wrapped one.
    const inLongLines = text
      .split("\n")
      .filter((line) => line.length > 100)
      .reduce((sum, line) => sum + line.length, 0);
    expect(inLongLines).toBeGreaterThan(text.length / 2);
  });
});
