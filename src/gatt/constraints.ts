/**
 * Instructions that are to hold through a whole dialog (Llama 2 §3.3, A.3.5): what they say, in full and tersely, and
 * a criterion for each kind, so that a script can tell whether an answer keeps to it.
 *
 * The paper's kinds are hobbies, languages and public figures. An opening is for models too small for those.
 *
 *     kind      in full                          tersely            it holds when the answer
 *     hobby     You enjoy sailing.               Hobby: sailing.    names it, asked what it enjoys
 *     figure    Act as Napoleon.                 Figure: Napoleon.  names it, asked who it is
 *     language  Always speak in French.          Language: French.  has more of that language's commonest words than
 *                                                                   of English's
 *     opening   Always begin with "Aye, aye".    Opening: Aye, aye. begins with it
 */

import type { Random } from "../corpus/random.ts";
import { shuffle } from "../corpus/random.ts";
import { ConfigError } from "../errors/errors.ts";

export const constraintKinds = ["hobby", "language", "figure", "opening"] as const;
export type ConstraintKind = (typeof constraintKinds)[number];

export interface Constraint {
  readonly kind: ConstraintKind;
  readonly value: string;
}

export interface Instruction {
  readonly constraints: readonly Constraint[];
  readonly text: string;
}

/** The values that each kind is drawn from; a kind without any is not drawn. */
export type ConstraintLists = Readonly<Partial<Record<ConstraintKind, readonly string[]>>>;

/** What is asked to see whether a constraint is remembered; nothing for one that shows in every answer. */
export const probes: Readonly<Record<ConstraintKind, string | undefined>> = {
  hobby: "What do you enjoy?",
  figure: "Who are you?",
  language: undefined,
  opening: undefined,
};

/** The instruction of some constraints, in full sentences or in the terse form. */
export function instructionOf(constraints: readonly Constraint[], form: "full" | "terse"): Instruction {
  const text = constraints.map(({ kind, value }) => forms[kind][form](value)).join(" ");
  return { constraints, text };
}

/** A random combination of kinds, a random value of each, and half of the time the terse form. */
export function drawInstruction(lists: ConstraintLists, random: Random): Instruction {
  const kinds = constraintKinds.filter((kind) => (lists[kind] ?? []).length > 0);
  if (kinds.length === 0) {
    throw new ConfigError("there are no constraints to make instructions of", {
      mend: "Give at least one hobby, language, figure or opening.",
    });
  }
  const drawn = shuffle(kinds, random).slice(0, 1 + random.int(kinds.length));
  const constraints = drawn.map((kind) => {
    const values = lists[kind]!;
    return { kind, value: values[random.int(values.length)]! };
  });
  return instructionOf(constraints, random.int(2) === 0 ? "full" : "terse");
}

/**
 * Whether an answer keeps to a constraint, by its criterion above.
 *
 * @param question what was asked: a hobby or a figure shows only where its probe was.
 * @returns undefined where the answer cannot show it.
 */
export function holds({ kind, value }: Constraint, question: string, answer: string): boolean | undefined {
  switch (kind) {
    case "hobby":
    case "figure":
      return question === probes[kind] ? mentions(answer, value) : undefined;
    case "language":
      return isIn(value, answer);
    case "opening":
      return plain(answer).startsWith(plain(value));
  }
}

/** @throws {ConfigError} for a language without a criterion. */
export function checkConstraints(lists: ConstraintLists): void {
  for (const language of lists.language ?? []) wordsOfLanguage(language);
}

// --- internal ---

const forms: Readonly<Record<ConstraintKind, Record<"full" | "terse", (value: string) => string>>> = {
  hobby: { full: (value) => `You enjoy ${value}.`, terse: (value) => `Hobby: ${value}.` },
  language: { full: (value) => `Always speak in ${value}.`, terse: (value) => `Language: ${value}.` },
  figure: { full: (value) => `Act as ${value}.`, terse: (value) => `Figure: ${value}.` },
  opening: { full: (value) => `Always begin with "${value}".`, terse: (value) => `Opening: ${value}.` },
};

/** The commonest words of each language that English does not share. */
const languages: Readonly<Record<string, string>> = {
  english:
    "the of and to is that it was for with as his he be at by this have from not are but they you which",
  french:
    "le la les des est et une un que qui dans pour pas sur il elle je nous vous avec sont du ce au mais",
  spanish: "el la los las es y una un que de en para por con su se del al como más pero yo está son muy",
  german:
    "der die das und ist ein eine nicht zu mit den von auf im dem ich wir sie es für auch sind wie dass er",
  italian: "il lo la gli le è e un una che di per con non si del della sono nel ma come io più anche questo",
  portuguese: "o os as é e um uma que de em para por com não se do da são no na mas como eu mais muito",
  latin:
    "et est non in ad cum quod ut sed qui quae sunt esse ex ab aut enim autem nec hoc etiam ego tu per si",
};

function wordsOfLanguage(language: string): ReadonlySet<string> {
  const words = languages[language.toLowerCase()];
  if (words !== undefined) return new Set(words.split(" "));
  throw new ConfigError(`there is no criterion for the language ${JSON.stringify(language)}`, {
    mend: `Give one of ${Object.keys(languages).join(", ")}.`,
  });
}

function isIn(language: string, answer: string): boolean {
  const words = plain(answer).split(" ");
  const count = (known: ReadonlySet<string>): number => words.filter((word) => known.has(word)).length;
  const own = count(wordsOfLanguage(language));
  return own > 0 && (language.toLowerCase() === "english" || own > count(wordsOfLanguage("english")));
}

/** The last word counts: "Lincoln" is Abraham Lincoln. */
function mentions(answer: string, value: string): boolean {
  const name = plain(value).split(" ").at(-1)!;
  return plain(answer).split(" ").includes(name);
}

/** Words in lower case with single spaces between. */
function plain(text: string): string {
  return (text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []).join(" ");
}
