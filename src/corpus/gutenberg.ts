/**
 * The text of a Project Gutenberg file without what the project put around it.
 *
 * Files since about 2004 mark the text with "*** START OF THE (THIS) PROJECT GUTENBERG EBOOK ... ***" and
 * "*** END OF ..."; those of the 1990s open with a letter and the "SMALL PRINT", which ends in a line
 * "*END*THE SMALL PRINT! ...*END*" (a few carry it at their end instead). A credit paragraph
 * ("Produced by ...") often stands first inside the marks.
 */

/** @param lines of the file, without line ends. Returned unchanged if they name no Project Gutenberg. */
export function stripGutenberg(lines: readonly string[]): readonly string[] {
  if (!lines.some((line) => NAME.test(line))) return lines;
  const start = bodyStart(lines);
  const body = lines.slice(start, bodyEnd(lines, start));
  return start === 0 ? body : withoutCredits(body);
}

// --- internal ---

const NAME = /project gutenberg/i;
const START = /^\s*\*{3}\s*START OF (?:THE|THIS) PROJECT GUTENBERG E-?(?:BOOK|TEXT)/i;
const END = /^\s*\*{3}\s*END OF (?:THE|THIS) PROJECT GUTENBERG E-?(?:BOOK|TEXT)/i;
const SMALL_PRINT_START = /^\s*\*+\s*START\s*\*+\s*THE SMALL PRINT/i;
const SMALL_PRINT_END = /^\s*\*+\s*END\s*\*?\s*THE SMALL PRINT/i;
const CLOSING = /^\s*End of (?:the |this )?Project Gutenberg/i;
const CREDIT =
  /^\s*\[?(?:Produced by|(?:This )?e-?(?:text|book) (?:was )?(?:prepared|produced|created|scanned)|Transcribed (?:from|by)|Scanned (?:and|by)|HTML version by|Updated editions? )/i;

/** A title may run over the line: the mark ends with the line that closes its asterisks. */
const MARK_LINES = 4;
/** How far above "*** END OF" the line "End of Project Gutenberg's ..." can stand. */
const CLOSING_LINES = 12;
const CREDIT_PARAGRAPHS = 3;

function bodyStart(lines: readonly string[]): number {
  const mark = lines.findIndex((line) => START.test(line));
  if (mark >= 0) {
    const rest = lines.slice(mark, mark + MARK_LINES);
    const closed = rest.findIndex((line, i) =>
      /\*{3}\s*$/.test(i === 0 ? line.replace(/^\s*\*{3}/, "") : line),
    );
    return mark + Math.max(0, closed) + 1;
  }
  const smallPrint = lines.findIndex((line) => SMALL_PRINT_END.test(line));
  return smallPrint >= 0 && smallPrint < lines.length / 2 ? smallPrint + 1 : 0;
}

function bodyEnd(lines: readonly string[], start: number): number {
  const mark = lines.findIndex((line, i) => i >= start && (END.test(line) || SMALL_PRINT_START.test(line)));
  const end = mark < 0 ? lines.length : mark;
  const from = mark < 0 ? start : Math.max(start, end - CLOSING_LINES);
  const closing = lines.findIndex((line, i) => i >= from && i < end && CLOSING.test(line));
  return closing < 0 ? end : closing;
}

function withoutCredits(body: readonly string[]): readonly string[] {
  let start = 0;
  for (let paragraph = 0; paragraph < CREDIT_PARAGRAPHS; paragraph += 1) {
    const first = body.findIndex((line, i) => i >= start && line.trim() !== "");
    if (first < 0 || !CREDIT.test(body[first]!)) break;
    const blank = body.findIndex((line, i) => i > first && line.trim() === "");
    // A file without blank lines has no paragraphs to go by: the credit is its own line.
    start = blank < 0 || blank - first > 12 ? first + 1 : blank;
  }
  return body.slice(start);
}
