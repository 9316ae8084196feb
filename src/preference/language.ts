/**
 * The language of a text, as far as a check of annotators' data asks: by script where that tells, and among the
 * languages of the Latin script by how many of the words are its commonest (as Grefenstette 1995 tells them).
 */

export const languages = ["en", "de", "fr", "es", "it", "pt", "nl"] as const;

/**
 * An ISO 639-1 code of {@link languages}, or the name of another script such as "Cyrillic"; undefined where the text
 * is too short or too mixed to tell.
 */
export function languageOf(text: string): string | undefined {
  const letters = text.match(/\p{L}/gu)?.length ?? 0;
  if (letters === 0) return undefined;
  for (const [name, pattern] of otherScripts) {
    if ((text.match(pattern)?.length ?? 0) > letters / 2) return name;
  }
  const words = text.toLowerCase().match(/\p{L}+/gu) ?? [];
  const scores = languages
    .map((language) => ({ language, hits: words.filter((word) => common[language].has(word)).length }))
    .toSorted((a, b) => b.hits - a.hits);
  const [first, second] = scores as [Score, Score];
  // Two common words, and clearly more than of any other language, which shares some of them.
  return first.hits >= 2 && first.hits > 1.2 * second.hits ? first.language : undefined;
}

// --- internal ---

interface Score {
  readonly language: string;
  readonly hits: number;
}

const otherScripts: readonly (readonly [string, RegExp])[] = [
  ["Cyrillic", /\p{Script=Cyrillic}/gu],
  ["Greek", /\p{Script=Greek}/gu],
  ["Arabic", /\p{Script=Arabic}/gu],
  ["Hebrew", /\p{Script=Hebrew}/gu],
  ["Devanagari", /\p{Script=Devanagari}/gu],
  ["Thai", /\p{Script=Thai}/gu],
  ["Hangul", /\p{Script=Hangul}/gu],
  ["Han or Kana", /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/gu],
];

function setOf(words: string): ReadonlySet<string> {
  return new Set(words.split(" "));
}

const common: Readonly<Record<(typeof languages)[number], ReadonlySet<string>>> = {
  en: setOf(
    "the of and to in is that it for you was with on are this have be at not what how i my can do your from or we they but if there which would about me as by an will",
  ),
  de: setOf(
    "der die das und ist nicht ich du ein eine zu den mit von auf für wie was es sich auch dem des im wir sie er kann oder aber mein dass als nach bei",
  ),
  fr: setOf(
    "le la les des et est une un que qui dans pour pas je vous il elle nous sur avec ce sont au du comment quoi mais ou plus votre cette comme en ne",
  ),
  es: setOf(
    "el la los las de y es que en un una no por con para se lo como mi su qué cómo pero más yo tu al del está son puedo muy me",
  ),
  it: setOf(
    "il lo la gli le di e è che in un una non per con si come mi cosa ma più io tu al del della sono posso molto ho questo anche da",
  ),
  pt: setOf(
    "o a os as de e é que em um uma não por com para se como meu sua eu você mas mais ao do da são posso muito isso no na está",
  ),
  nl: setOf(
    "de het een en is niet ik je van in op te dat die voor met zijn hoe wat maar ook aan er kan mijn u wij naar bij om als dit",
  ),
};
