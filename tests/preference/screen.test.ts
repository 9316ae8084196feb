import { describe, expect, test } from "vitest";
import type { Comparison } from "../../src/preference/comparison.ts";
import { languageOf } from "../../src/preference/language.ts";
import { findLeakage } from "../../src/preference/leakage.ts";
import { screen, splitComparisons } from "../../src/preference/screen.ts";
import { countWords, preferenceStatistics } from "../../src/preference/statistics.ts";
import { describeWithSharedData, sharedFile } from "../shared.ts";
import { readComparisons } from "../../src/preference/read.ts";

function comparison(question: string, chosen = "yes", rejected = "no"): Comparison {
  return {
    prompt: [{ role: "user", content: question }],
    chosen,
    rejected,
    quality: "helpfulness",
    judge: "people",
  };
}

const limits = { maxAnswerCharacters: 100, maxPromptCharacters: 100 };

describe("screening", () => {
  test("keeps the first of comparisons that differ in case, punctuation and spaces only", () => {
    const first = comparison("What is it?");
    const { kept, duplicates } = screen([first, comparison("what  is it", "Yes!", "No.")], limits);
    expect(kept).toEqual([first]);
    expect(duplicates).toBe(1);
  });

  test("texts without letters are compared as they are", () => {
    expect(screen([comparison("+"), comparison("-")], limits).kept).toHaveLength(2);
  });

  test("two people who disagree both stay, and are counted", () => {
    const { kept, contradictions } = screen([comparison("a", "x", "y"), comparison("a", "y", "x")], limits);
    expect(kept).toHaveLength(2);
    expect(contradictions).toBe(1);
  });

  test("drops an answer or a prompt that is a character too long", () => {
    const rows = [
      comparison("a", "y".repeat(100)),
      comparison("b", "y".repeat(101)),
      comparison("c".repeat(101)),
    ];
    const { kept, tooLong } = screen(rows, limits);
    expect(kept).toEqual(rows.slice(0, 1));
    expect(tooLong).toBe(2);
  });

  test("drops what is clearly in another language, not what cannot be told", () => {
    const rows = [
      comparison("1 + 1?", "2", "3"),
      comparison("How is the weather in the north?", "It is cold.", "The sun is out."),
      comparison("Wie ist das Wetter?", "Es ist kalt und nass.", "The sun is out."),
    ];
    expect(screen(rows, { ...limits, language: "en" })).toMatchObject({ otherLanguage: 1 });
  });
});

test.each([
  ["What is the capital of France, and how do I get there?", "en"],
  ["Wie komme ich von der Stadt auf das Land, und was ist dort?", "de"],
  ["Quelle est la capitale et comment est-ce que je vais dans ce pays ?", "fr"],
  ["¿Cuál es la capital de España y cómo llego a ella?", "es"],
  ["Qual è la capitale e come si arriva?", "it"],
  ["Как дела?", "Cyrillic"],
  ["今日は何曜日ですか", "Han or Kana"],
  ["42", undefined],
  ["ok", undefined],
])("%s is in %s", (text, language) => {
  expect(languageOf(text)).toBe(language);
});

describe("leakage", () => {
  const words = (from: number, count: number): string =>
    Array.from({ length: count }, (_, i) => `w${from + i}`).join(" ");

  test("an equal prompt is found through case and punctuation", () => {
    expect(findLeakage([comparison("What is it?")], [comparison("x"), comparison("what is it!")])).toEqual({
      equal: [1],
      overlapping: [],
    });
  });

  test("a prompt of whose words more than half are in runs of ten is found, of half is not", () => {
    const train = [comparison(words(0, 10))];
    expect(findLeakage(train, [comparison(`${words(0, 10)} ${words(100, 9)}`)]).overlapping).toEqual([0]);
    expect(findLeakage(train, [comparison(`${words(0, 10)} ${words(100, 10)}`)]).overlapping).toEqual([]);
  });

  test("runs of nine words are no leak", () => {
    expect(findLeakage([comparison(words(0, 9))], [comparison(`${words(0, 9)} x`)]).overlapping).toEqual([]);
  });

  test("the earlier turns of a conversation count", () => {
    const later: Comparison = {
      ...comparison(words(0, 12)),
      prompt: [
        { role: "user", content: words(0, 12) },
        { role: "assistant", content: "a b" },
        { role: "user", content: "c d" },
      ],
    };
    expect(findLeakage([comparison(words(0, 12))], [later]).overlapping).toEqual([0]);
  });
});

describe("the split", () => {
  const rows = Array.from({ length: 2000 }, (_, i) => comparison(`question ${i % 1000}`, `answer ${i}`));

  test("keeps conversations that begin alike on one side, and holds out about the share", () => {
    const { train, test: heldOut } = splitComparisons(rows, 0.1, 1);
    expect(train.length + heldOut.length).toBe(2000);
    // Of 1000 openings 100 are expected, give or take 4 standard deviations of 9.5.
    expect(Math.abs(heldOut.length / 2 - 100)).toBeLessThan(38);
    expect(findLeakage(train, heldOut).equal).toEqual([]);
    expect(splitComparisons(rows, 0.1, 2).test).not.toEqual(heldOut);
  });

  test("holds nothing out at 0 and refuses 1", () => {
    expect(splitComparisons(rows, 0, 1).test).toEqual([]);
    expect(() => splitComparisons(rows, 1, 1)).toThrow(
      "the share held out (1) is not at least 0 and below 1",
    );
  });
});

test("statistics are means over conversations, questions and answers", () => {
  const two: Comparison = {
    prompt: [
      { role: "user", content: "a b" },
      { role: "assistant", content: "c" },
      { role: "user", content: "d e f g" },
    ],
    chosen: "h i",
    rejected: "j",
    strength: "better",
    safety: "both-safe",
    quality: "helpfulness",
    judge: "people",
  };
  // Of questions 2, 4 and 1 words, of answers 1, 2, 1, 1, 1; examples of 9 and 2 words.
  expect(preferenceStatistics([two, comparison("k")], countWords)).toEqual({
    comparisons: 2,
    turns: 1.5,
    example: 5.5,
    prompt: 7 / 3,
    response: 6 / 5,
    chosenIsLonger: 0.75,
    strengths: { better: 1, "not stated": 1 },
    safety: { "both-safe": 1, "not stated": 1 },
    judges: { people: 2 },
  });
});

describeWithSharedData("hh-rlhf", () => {
  test("split by opening question, no prompt is on both sides and two share most of their words with another", async () => {
    const { comparisons } = await readComparisons(
      sharedFile("preferences/hh-rlhf/harmless-base.test.part1.jsonl.gz"),
    );
    const { kept, duplicates } = screen(comparisons, {
      maxAnswerCharacters: 8000,
      maxPromptCharacters: 8000,
    });
    const { train, test: heldOut } = splitComparisons(kept, 0.2, 1);
    const { equal, overlapping } = findLeakage(train, heldOut);
    expect({
      duplicates,
      train: train.length,
      test: heldOut.length,
      equal,
      overlapping,
    }).toMatchInlineSnapshot(`
      {
        "duplicates": 0,
        "equal": [],
        "overlapping": [
          132,
          209,
        ],
        "test": 233,
        "train": 919,
      }
    `);
  });
});
