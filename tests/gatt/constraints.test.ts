/** Instructions and the scripts that tell whether an answer keeps to them. */

import { describe, expect, test } from "vitest";
import { createRandom } from "../../src/corpus/random.ts";
import {
  checkConstraints,
  drawInstruction,
  holds,
  instructionOf,
  type ConstraintKind,
} from "../../src/gatt/constraints.ts";
import { itemsOf, listFromModel } from "../../src/gatt/lists.ts";

describe("an instruction", () => {
  const all = [
    { kind: "hobby", value: "sailing" },
    { kind: "language", value: "French" },
    { kind: "figure", value: "Napoleon" },
    { kind: "opening", value: "Aye" },
  ] as const;

  test("is in full sentences or terse", () => {
    expect(instructionOf(all, "full").text).toBe(
      'You enjoy sailing. Always speak in French. Act as Napoleon. Always begin with "Aye".',
    );
    expect(instructionOf(all, "terse").text).toBe(
      "Hobby: sailing. Language: French. Figure: Napoleon. Opening: Aye.",
    );
  });

  test("is drawn of one to all kinds that have values, half of the time terse", () => {
    const random = createRandom(3);
    const drawn = Array.from({ length: 400 }, () =>
      drawInstruction({ hobby: ["chess", "music"], figure: ["Napoleon"], language: [] }, random),
    );
    const terse = drawn.filter(({ text }) => /^(?:Hobby|Figure):/.test(text)).length;
    expect(terse).toBeGreaterThan(160);
    expect(terse).toBeLessThan(240);
    const pairs = drawn.filter(({ constraints }) => constraints.length === 2).length;
    expect(pairs).toBeGreaterThan(160);
    expect(pairs).toBeLessThan(240);
    expect(drawn.every(({ constraints }) => constraints.every(({ kind }) => kind !== "language"))).toBe(true);
  });
});

test.each<[ConstraintKind, string, string, string, boolean | undefined]>([
  ["hobby", "sailing", "What do you enjoy?", "I enjoy sailing most of all.", true],
  ["hobby", "sailing", "What do you enjoy?", "I enjoy chess.", false],
  ["hobby", "sailing", "What is a law?", "Sailing!", undefined],
  ["figure", "Abraham Lincoln", "Who are you?", "My name is Lincoln.", true],
  ["figure", "Abraham Lincoln", "Who are you?", "I am Abraham.", false],
  ["language", "French", "What is a law?", "La loi est une règle pour tous.", true],
  ["language", "French", "What is a law?", "A law is a rule for all of the people.", false],
  ["language", "French", "What is a law?", "Rules.", false],
  ["opening", "Aye, aye", "What is a law?", "Aye, aye! It is a rule.", true],
  ["opening", "Aye, aye", "What is a law?", "aye aye, a rule.", true],
  ["opening", "Aye, aye", "What is a law?", "A rule. Aye, aye!", false],
])("%s %s, asked %s: %s", (kind, value, question, answer, expected) => {
  expect(holds({ kind, value }, question, answer)).toBe(expected);
});

test("a language without a criterion is refused", () => {
  expect(() => checkConstraints({ language: ["Klingon"] })).toThrow(
    'there is no criterion for the language "Klingon"',
  );
});

describe("a list that the model writes", () => {
  test.each([
    ["1. Chess\n2. Long walks.\n3) Music", ["Chess", "Long walks", "Music"]],
    ["- Chess\n- Music\nThat is all.", ["Chess", "Music"]],
    ["Chess, music and sailing.", ["Chess", "music", "sailing"]],
    ["I have never in my life thought about that.", []],
  ])("%j has %j", (answer, items) => {
    expect(itemsOf(answer)).toEqual(items);
  });

  test("has what most answers name first", async () => {
    const answers = ["Chess, tennis.", "Music, tennis.", "Tennis."];
    const list = await listFromModel(
      { kind: "hobby", samples: 3, temperature: 1, seed: 1 },
      async function* () {
        for (const [index, text] of answers.entries())
          yield await Promise.resolve({
            request: 0,
            index,
            text: text.toLowerCase(),
            tokens: 3,
            reason: "stop" as const,
          });
      },
    );
    expect(list).toEqual(["tennis", "chess", "music"]);
  });
});
