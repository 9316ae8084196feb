import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createStopStrings } from "../../src/generate/stop-strings.ts";

interface Shown {
  readonly text: string;
  readonly found: string | undefined;
}

function shown(stops: readonly string[], pieces: readonly string[]): Shown {
  const finder = createStopStrings(stops);
  let text = "";
  for (const piece of pieces) {
    const pushed = finder.push(piece);
    text += pushed.text;
    expect(pushed.stopped).toBe(finder.found !== undefined);
    if (pushed.stopped) break;
  }
  return { text: text + finder.end(), found: finder.found };
}

/** What each piece lets be shown, then the rest. */
function steps(stops: readonly string[], pieces: readonly string[]): string[] {
  const finder = createStopStrings(stops);
  return [...pieces.map((piece) => finder.push(piece).text), finder.end()];
}

/** By looking at every beginning of the text. */
function cutBySearching(stops: readonly string[], text: string): Shown {
  for (let end = 1; end <= text.length; end += 1) {
    const found = stops
      .filter((stop) => text.slice(0, end).endsWith(stop))
      .toSorted((a, b) => b.length - a.length)[0];
    if (found !== undefined) return { text: text.slice(0, end - found.length), found };
  }
  return { text, found: undefined };
}

describe("stop strings", () => {
  test("end the text before them, wherever the pieces end", () => {
    expect(shown(["User:"], ["Hello. Us", "er", ": and more"])).toEqual({ text: "Hello. ", found: "User:" });
  });

  test("hold back only what can still become one, and let it go when it does not", () => {
    expect(steps(["\n\nQ:"], ["a\n", "b", "\n", "\nQ", "!"])).toEqual(["a", "\nb", "", "", "\n\nQ!", ""]);
  });

  test("let go the beginning of what is held when only its end can still become one", () => {
    expect(steps(["aab"], ["aa", "a", "a"])).toEqual(["", "a", "a", "aa"]);
  });

  test("that is not complete when the text ends is shown", () => {
    expect(steps(["</s>"], ["a</", "s"])).toEqual(["a", "", "</s"]);
  });

  test("show nothing any more once one is found", () => {
    const finder = createStopStrings(["."]);
    expect(finder.push("a.b")).toEqual({ text: "a", stopped: true });
    expect(finder.push("c")).toEqual({ text: "", stopped: true });
    expect(finder.end()).toBe("");
    expect(finder.found).toBe(".");
  });

  test("end it at the one that is complete first; of two, before the longer", () => {
    expect(shown(["abcd", "bc"], ["abcd"])).toEqual({ text: "a", found: "bc" });
    expect(shown(["b", "ab"], ["aab"])).toEqual({ text: "a", found: "ab" });
  });

  test("are whole characters, beyond the basic plane too", () => {
    expect(shown(["🦙!"], ["a🦙", "🦙", "!"])).toEqual({ text: "a🦙", found: "🦙!" });
  });

  test("when there are none, everything is shown at once", () => {
    expect(steps([], ["a", "b"])).toEqual(["a", "b", ""]);
  });

  const letters = fc.array(fc.constantFrom("a", "b", "c"), { maxLength: 30 }).map((all) => all.join(""));
  const stop = fc.array(fc.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 5 });

  test("cut any text as a search does, however it is split, and never show what they take back", () => {
    fc.assert(
      fc.property(
        fc.array(
          stop.map((all) => all.join("")),
          { maxLength: 4 },
        ),
        fc.array(letters, { maxLength: 12 }),
        (stops, pieces) => {
          const text = pieces.join("");
          const expected = cutBySearching(stops, text);
          expect(shown(stops, pieces)).toEqual(expected);
          expect(shown(stops, text.split(""))).toEqual(expected);
          expect(shown(stops, [text])).toEqual(expected);
        },
      ),
      { numRuns: 1000 },
    );
  });

  test("hold back no more than the longest beginning of one that the text ends with", () => {
    fc.assert(
      fc.property(stop, letters, (all, text) => {
        const word = all.join("");
        const finder = createStopStrings([word]);
        const { text: first, stopped } = finder.push(text);
        if (stopped) return;
        const longest = word.split("").findLastIndex((_, i) => text.endsWith(word.slice(0, i + 1))) + 1;
        expect(first).toBe(text.slice(0, text.length - longest));
      }),
    );
  });

  test("are looked for in time that grows with the text alone", () => {
    const finder = createStopStrings([`${"a".repeat(30_000)}b`, `${"a".repeat(30_000)}c`]);
    const start = performance.now();
    for (let i = 0; i < 1000; i += 1) finder.push("a".repeat(100));
    // A search from each character anew would take 3 · 10^9 comparisons.
    expect(performance.now() - start).toBeLessThan(2000);
  });

  test.each([
    [["a", ""], "a stop string is empty", "Leave it out: it would end any text at once."],
    [
      ["\ud83e"],
      'the stop string "\\ud83e" has half a character',
      "Do not cut texts between the two halves of a surrogate pair.",
    ],
    [
      ["x".repeat(40_000), "y".repeat(40_000)],
      "the stop strings have 80000 characters, and 65536 are the most",
      "Stop strings are short marks, such as a name and a colon.",
    ],
  ])("that cannot be are refused (%#)", (stops, message, mend) => {
    expect(() => createStopStrings(stops)).toThrow(
      expect.objectContaining({ name: "ConfigError", message, mend }),
    );
  });
});
