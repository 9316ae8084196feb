/** Ghost Attention's two forms of a dialog, and the loss of each token of what is trained on. */

import { describe, expect, test } from "vitest";
import { encodeDialog } from "../../src/dialog/llama2-chat.ts";
import { instructionOf } from "../../src/gatt/constraints.ts";
import {
  filledRows,
  ghostDialog,
  ghostExample,
  sampledDialog,
  wholeRows,
  type InstructedDialog,
} from "../../src/gatt/dialogs.ts";
import { packExamples } from "../../src/sft/pack.ts";
import { tinyTokenizer } from "../dialog/tiny-tokenizer.ts";

const tokenizer = tinyTokenizer();
const dialog: InstructedDialog = {
  instruction: instructionOf([{ kind: "opening", value: "Aye" }], "terse"),
  questions: ["Who?", "Why?", "Where?"],
  answers: ["Aye, I.", "Aye, so.", "Aye, here."],
};

describe("the instruction", () => {
  test("stands at every turn of what is sampled from", () => {
    const open = { ...dialog, answers: dialog.answers.slice(0, 2) };
    expect(sampledDialog(open, "user").map(({ content }) => content)).toEqual([
      "Opening: Aye. Who?",
      "Aye, I.",
      "Opening: Aye. Why?",
      "Aye, so.",
      "Opening: Aye. Where?",
    ]);
  });

  test("stands at the first turn only of what is trained on", () => {
    expect(ghostDialog(dialog, "user").map(({ content }) => content)).toEqual([
      "Opening: Aye. Who?",
      "Aye, I.",
      "Why?",
      "Aye, so.",
      "Where?",
      "Aye, here.",
    ]);
  });

  test("is the system message, where the recipe wants it, and stands at the later turns of what is sampled from", () => {
    expect(ghostDialog(dialog, "system").slice(0, 2)).toEqual([
      { role: "system", content: "Opening: Aye." },
      { role: "user", content: "Who?" },
    ]);
    expect(
      sampledDialog(dialog, "system")
        .map(({ content }) => content)
        .slice(0, 4),
    ).toEqual(["Opening: Aye.", "Who?", "Aye, I.", "Opening: Aye. Why?"]);
  });
});

describe.each(["user", "system"] as const)("the loss, with the instruction as %s text", (placement) => {
  const { tokens, lossMask } = ghostExample(dialog, placement, tokenizer);
  const whole = encodeDialog(ghostDialog(dialog, placement), tokenizer);

  test("is on the last answer, the space after it and EOS, and on no other token", () => {
    // The tiny vocabulary has a token a byte, but for its merges: the answer, the space after it, EOS.
    const last = [...tokenizer.encode("Aye, here. "), tokenizer.eosId];
    const trained = [...tokens].filter((_, i) => lossMask[i] === 1);
    expect(trained).toEqual(last);
    expect([...tokens].slice(-last.length)).toEqual(last);
    expect([...lossMask]).toEqual([
      ...new Uint8Array(tokens.length - last.length),
      ...new Uint8Array(last.length).fill(1),
    ]);
  });

  test("changes no token, and zeroes just what plain fine-tuning trains of the earlier answers", () => {
    expect(tokens).toEqual(whole.tokens);
    const earlier = [...whole.lossMask].filter((mask, i) => mask === 1 && lossMask[i] === 0).length;
    const answers = ["Aye, I. ", "Aye, so. "].map((text) => tokenizer.encode(text).length + 1);
    expect(earlier).toBe(answers[0]! + answers[1]!);
  });
});

test("of one turn only, the loss is plain fine-tuning's", () => {
  const single = { ...dialog, questions: ["Who?"], answers: ["Aye, I."] };
  for (const placement of ["user", "system"] as const)
    expect(ghostExample(single, placement, tokenizer)).toEqual(
      encodeDialog(ghostDialog(single, placement), tokenizer),
    );
});

test("each example is a row of its own, so its last answer always has its instruction before it", () => {
  const example = ghostExample(dialog, "user", tokenizer);
  const seqLen = example.tokens.length + 3;
  const rows = wholeRows([example, example], seqLen, tokenizer.eosId);
  const packed = packExamples(rows, { seqLen, seed: 1, epoch: 0, padId: tokenizer.eosId });
  expect(packed.rows).toBe(2);
  for (const row of [0, 1]) {
    const at = row * seqLen;
    expect(packed.tokens.slice(at, at + example.tokens.length)).toEqual(example.tokens);
    const weights = packed.weights.slice(at, at + seqLen);
    // A target's weight stands one place before it.
    expect([...weights]).toEqual([...example.lossMask.slice(1), 0, 0, 0, 0]);
  }
});

test("an example that does not fit into a row is left out, not cut", () => {
  const example = ghostExample(dialog, "user", tokenizer);
  expect(wholeRows([example], example.tokens.length - 1, 2)).toEqual([]);
});

test("dialogs without an instruction share a row as long as they fit whole", () => {
  const example = (length: number) => ({
    tokens: new Int32Array(length).fill(length),
    lossMask: new Uint8Array(length).fill(1),
  });
  const rows = filledRows([example(2), example(3), example(9), example(1), example(4)], 5, 0);
  expect(rows.map(({ tokens }) => [...tokens])).toEqual([
    [2, 2, 3, 3, 3],
    [1, 4, 4, 4, 4],
  ]);
  expect(rows.every(({ lossMask }) => lossMask.every((mask) => mask === 1))).toBe(true);
});
