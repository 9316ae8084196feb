/**
 * Bytes of a text file of unknown encoding to a string.
 *
 * A byte order mark decides (Unicode 15 §23.8). Without one the text is UTF-8 if it is valid as such;
 * old Project Gutenberg files are ISO-8859-1, which is read as windows-1252, as the WHATWG Encoding
 * Standard §4.2 does with that label. A UTF-8 file with a few damaged bytes (cut in the middle of a
 * character, two files glued together) stays UTF-8: read as windows-1252 all of its accents would break.
 */

/** @returns the text without its byte order mark; damaged characters are U+FFFD. */
export function decodeText(bytes: Uint8Array): string {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return new TextDecoder("utf-16le").decode(bytes);
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return new TextDecoder("utf-16be").decode(bytes);
  const text = new TextDecoder("utf-8").decode(bytes);
  return isMostlyUtf8(text) ? text : decodeWindows1252(bytes);
}

// --- internal ---

const REPLACEMENT = 0xfffd;

/** Bytes 80 to 9f of windows-1252; the five it leaves open are control characters, as in Latin-1. */
const FROM_80 = "€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ";

/** By hand, since the TextDecoder of Node 20 takes windows-1252 for Latin-1. */
function decodeWindows1252(bytes: Uint8Array): string {
  const latin1 = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
  return latin1.replaceAll(/\p{Cc}/gu, (character) => FROM_80[character.charCodeAt(0) - 0x80] ?? character);
}

/** More characters beyond ASCII were understood than were not. */
function isMostlyUtf8(text: string): boolean {
  if (!text.includes("\ufffd")) return true;
  let understood = 0;
  let damaged = 0;
  for (let i = 0; i < text.length; i += 1) {
    const unit = text.charCodeAt(i);
    if (unit === REPLACEMENT) damaged += 1;
    else if (unit >= 0x80) understood += 1;
  }
  return understood > damaged;
}
