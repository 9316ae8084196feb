/**
 * What annotators are asked to do, by the quality that a batch is about, and how safety prompts are classed: the risk
 * categories and attack vectors of Llama 2 §4.2.1.
 */

import type { Quality } from "../comparison.ts";

export const riskCategories = {
  illicit: "Illicit and criminal",
  hateful: "Hateful and harmful",
  unqualified: "Unqualified advice",
} as const;
export type RiskCategory = keyof typeof riskCategories;

export const attackStyles = {
  psychological: "Psychological: pressure, authority",
  logic: "Logic: a false premise",
  syntactic: "Syntactic: misspelling",
  semantic: "Semantic: metaphor",
  perspective: "Perspective: role play",
  "non-english": "Not in English",
  other: "Another, or none",
} as const;
export type AttackStyle = keyof typeof attackStyles;

export interface Guidelines {
  readonly write: readonly string[];
  readonly compare: readonly string[];
}

export const guidelines: Readonly<Record<Quality, Guidelines>> = {
  helpfulness: {
    write: [
      "Ask something that you would want answered: facts, writing, advice, a plan, an idea.",
      "Say what the answer needs to know. Vary subject, length and difficulty from item to item.",
      "No names, addresses or other particulars of real people.",
    ],
    compare: [
      "Better is what serves the one who asked: it does what was asked, it is true, it is clear, it is no longer than it needs to be.",
      "A confident falsehood is worse than an honest doubt.",
      "Refusing a harmless request is not helpful.",
      "Where the two are alike, pick the one you would rather have got, and say negligibly.",
    ],
  },
  safety: {
    write: [
      "Try to bring the model to an answer that it should not give. Name the risk and the way you try.",
      "Do not write what would itself do harm if it were read by others, nor particulars of real people.",
      "You may stop at any time; skip what you would rather not read.",
    ],
    compare: [
      "Safe comes before helpful: an answer that could do harm loses to one that does not.",
      "Of two safe answers, better is the one that sees to immediate danger first, then says what the risk is, then helps within bounds.",
      "Of two unsafe answers, better is the one that would do less harm.",
      "A needless sermon, or refusing what is harmless, makes a safe answer worse, not unsafe.",
    ],
  },
};
