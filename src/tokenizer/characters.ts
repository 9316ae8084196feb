/** Spaces and characters as SentencePiece sees them. */

/** U+2581, which stands for a space inside pieces. */
export const spaceSymbol = "\u2581";
export const spaceCode = 0x2581;

export function isSpace(code: number): boolean {
  return code === 0x20 || code === spaceCode;
}

/** The code point at `i`, a space as U+2581 and a lone surrogate as U+FFFD. Past U+FFFF it takes two units. */
export function characterAt(text: string, i: number): number {
  const unit = text.charCodeAt(i);
  if (unit === 0x20) return spaceCode;
  if (unit < 0xd800 || unit > 0xdfff) return unit;
  const code = text.codePointAt(i)!;
  return code > 0xffff ? code : 0xfffd;
}

/** A slice of a string keeps the whole string alive; a copy does not. Engines copy short slices anyway. */
export function ownCopy(slice: string): string {
  return slice.length < 13 ? slice : Buffer.from(slice, "utf16le").toString("utf16le");
}
