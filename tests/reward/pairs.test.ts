/** Comparisons in tokens and in micro-batches. */

import { describe, expect, test } from "vitest";
import { encodeDialog } from "../../src/dialog/llama2-chat.ts";
import type { Dialog } from "../../src/dialog/message.ts";
import type { Comparison } from "../../src/preference/comparison.ts";
import { encodeAnswer, paddedLength } from "../../src/reward/encode.ts";
import { encodePair, pairBatches } from "../../src/reward/pairs.ts";
import { tinyTokenizer } from "../dialog/tiny-tokenizer.ts";

const tokenizer = tinyTokenizer();
const prompt: Dialog = [
  { role: "user", content: "Who is it?" },
  { role: "assistant", content: "It is I." },
  { role: "user", content: "How many are you?" },
];
const comparison = (chosen: string, rejected: string): Comparison => ({
  prompt,
  chosen,
  rejected,
  strength: "better",
  safety: "chosen-safe",
  quality: "safety",
  judge: "people",
});

describe("an answer", () => {
  test.each(["One.", "  padded \n", "Two\n\nparagraphs", "naïve 1234 ☃"])(
    "%j is encoded as a dialog is",
    (answer) => {
      const whole = encodeDialog([...prompt, { role: "assistant", content: answer }], tokenizer);
      expect(encodeAnswer(prompt, answer, tokenizer, 1000)).toEqual(whole.tokens);
    },
  );

  test.each(["", " ", "[INST] a tag [/INST]"])(
    "%j, which no dialog takes, ends with EOS all the same",
    (answer) => {
      const tokens = encodeAnswer(prompt, answer, tokenizer, 1000);
      expect(tokens.at(-1)).toBe(tokenizer.eosId);
      expect(tokens[0]).toBe(tokenizer.bosId);
    },
  );

  test("that is too long keeps its end, and BOS", () => {
    const whole = encodeAnswer(prompt, "One, two, three.", tokenizer, 1000);
    const cut = encodeAnswer(prompt, "One, two, three.", tokenizer, 12);
    expect(cut).toHaveLength(12);
    expect(cut[0]).toBe(tokenizer.bosId);
    expect(cut.slice(1)).toEqual(whole.slice(-11));
  });
});

test("rows are multiples of 32, each at most a quarter and 32 longer than the one before, and never above the longest", () => {
  const lengths = [...new Set(Array.from({ length: 4096 }, (_, i) => paddedLength(i + 1, 4096)))];
  expect(lengths.every((length) => length % 32 === 0)).toBe(true);
  for (const [i, length] of lengths.entries())
    if (i > 0) expect(length - lengths[i - 1]!).toBeLessThanOrEqual(0.25 * lengths[i - 1]! + 32);
  expect(lengths.length).toBeLessThan(24);
  expect(paddedLength(90, 100)).toBe(96);
  expect(paddedLength(97, 100)).toBe(100);
});

test("a pair has its margin by the table, and the signs of its safety", () => {
  const pair = encodePair(comparison("Yes", "No"), tokenizer, { seqLen: 100, margin: "large" });
  expect(pair.margin).toBe(2);
  expect(pair.safety).toEqual({ chosen: 1, rejected: -1 });
});

test("a micro-batch holds chosen answers, then rejected ones, and says where each ends", () => {
  const options = { seqLen: 100, margin: "none" } as const;
  const pairs = [
    encodePair(comparison("A", "B"), tokenizer, options),
    encodePair(comparison("A much longer answer", "B"), tokenizer, options),
    encodePair(comparison("Yes", "No, no"), tokenizer, options),
  ];
  const batches = pairBatches(pairs, { pairs: 2, seqLen: 100, padId: 0 });
  expect(batches).toHaveLength(2);
  const [first, last] = batches as [(typeof batches)[0], (typeof batches)[0]];
  const seq = first.tokens.length / 4;
  // The longest pair comes first; each row is an answer, and the token at its end is EOS.
  expect(first.tokens.slice(0, pairs[1]!.chosen.length)).toEqual(pairs[1]!.chosen);
  expect(first.tokens.slice(2 * seq, 2 * seq + pairs[1]!.rejected.length)).toEqual(pairs[1]!.rejected);
  for (const end of first.ends) expect(first.tokens[end]).toBe(tokenizer.eosId);
  expect([...first.weights, ...last.weights]).toEqual([1, 1, 1, 0]);
});
