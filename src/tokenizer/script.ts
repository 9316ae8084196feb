/**
 * The Unicode script of a character, as far as training asks: pieces do not mix scripts
 * (SentencePiece's `split_by_unicode_script`).
 *
 * JavaScript knows scripts only as regular expressions, so a character is tried against each; callers keep
 * the answer. Source: Unicode Standard Annex 24.
 */

/** A number that differs between scripts. `noScript` for marks, which belong to whatever precedes them. */
export function scriptOf(code: number): number {
  const character = String.fromCodePoint(code);
  if (inherited.test(character)) return noScript;
  const index = scripts.findIndex((script) => script.test(character));
  return index === -1 ? common : index + 1;
}

export const noScript = -2;

// --- internal ---

const common = 0;

/** Hiragana, Katakana, the sound mark they share and Han count as one: Japanese mixes them inside words. */
const han = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\u30fc]/u;
const inherited = /\p{Script=Inherited}/u;

const names =
  "Latin Cyrillic Greek Arabic Hebrew Devanagari Hangul Thai Armenian Georgian Bengali Tamil Telugu Kannada " +
  "Malayalam Gujarati Gurmukhi Oriya Sinhala Khmer Lao Myanmar Tibetan Ethiopic Mongolian Bopomofo Syriac " +
  "Thaana Nko Cherokee Canadian_Aboriginal Ogham Runic Tagalog Hanunoo Buhid Tagbanwa Limbu Tai_Le Linear_B " +
  "Ugaritic Shavian Osmanya Cypriot Braille Buginese Coptic New_Tai_Lue Glagolitic Tifinagh Syloti_Nagri " +
  "Old_Persian Kharoshthi Balinese Cuneiform Phoenician Phags_Pa Sundanese Lepcha Ol_Chiki Vai Saurashtra " +
  "Kayah_Li Rejang Lycian Carian Lydian Cham Tai_Tham Tai_Viet Avestan Egyptian_Hieroglyphs Samaritan Lisu " +
  "Bamum Javanese Meetei_Mayek Imperial_Aramaic Old_South_Arabian Inscriptional_Parthian " +
  "Inscriptional_Pahlavi Old_Turkic Kaithi Batak Brahmi Mandaic Chakma Meroitic_Cursive " +
  "Meroitic_Hieroglyphs Miao Sharada Sora_Sompeng Takri Caucasian_Albanian Bassa_Vah Duployan Elbasan " +
  "Grantha Pahawh_Hmong Khojki Linear_A Mahajani Manichaean Mende_Kikakui Modi Mro Old_North_Arabian " +
  "Nabataean Palmyrene Pau_Cin_Hau Old_Permic Psalter_Pahlavi Siddham Khudawadi Tirhuta Warang_Citi Ahom " +
  "Anatolian_Hieroglyphs Hatran Multani Old_Hungarian SignWriting Yi Gothic Deseret";

const scripts: readonly RegExp[] = [
  han,
  ...names.split(" ").map((name) => new RegExp(String.raw`\p{Script=${name}}`, "u")),
];
