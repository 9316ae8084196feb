import { describe, expect, test } from "vitest";
import { checkContextShift, shiftContext } from "../../src/generate/context-shift.ts";
import { generateTokens, type GenerateOptions } from "../../src/generate/generate.ts";
import { promptLookup } from "../../src/generate/speculation.ts";
import { Decoder } from "../../src/model/decoder.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { randomTokens, relativeDifference, tinyConfig, tinyWeights } from "../tiny-model.ts";

const { vocabSize } = tinyConfig;
const greedy: GenerateOptions = {
  temperature: 0,
  topK: 0,
  topP: 1,
  maxTokens: 30,
  stopIds: [],
  next: () => 0,
};

/** f32 sums in another order. */
const tolerance = 8 * Math.sqrt(tinyConfig.dim) * 2 ** -24;

/** Two decoders of one model. */
async function withDecoders(
  contextTokens: number,
  body: (decoder: Decoder, fresh: Decoder) => Promise<void>,
): Promise<void> {
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend);
  using decoder = new Decoder(backend, weights, { contextTokens });
  using fresh = new Decoder(backend, weights, { contextTokens });
  await body(decoder, fresh);
}

async function textOf(decoder: Decoder, prompt: readonly number[], options: object): Promise<number[]> {
  const tokens: number[] = [];
  for await (const token of generateTokens(decoder, prompt, { ...greedy, ...options })) tokens.push(token);
  return tokens;
}

describe("a context that shifts", () => {
  test("keeps the first tokens and forgets the older half of the others", () =>
    withDecoders(8, async (decoder) => {
      await decoder.read([1, 2, 10, 11, 12, 13, 14, 15]);
      // Of the six beside the two that are kept, three go; token 16 is still to be read.
      const left = await shiftContext(decoder, [1, 2, 10, 11, 12, 13, 14, 15, 16], { keep: 2 });
      expect(left).toEqual([1, 2, 13, 14, 15, 16]);
      expect(decoder.length).toBe(5);
    }));

  test.each([0, 1, 5, 31])(
    "with %i tokens kept gives the logits of a fresh model that reads the same",
    (keep) =>
      withDecoders(32, async (decoder, fresh) => {
        const text = [...randomTokens(33, vocabSize, 3)];
        const next = text.at(-1)!;
        await decoder.read(text.slice(0, -1));
        const left = await shiftContext(decoder, text, { keep });
        const logits = await decoder.read([next]);
        expect(relativeDifference(logits, await fresh.read(left))).toBeLessThan(tolerance);
        // Not what it would have said with all of the text in sight.
        fresh.truncate(0);
        expect(relativeDifference(logits, await fresh.read(text.slice(1)))).toBeGreaterThan(0.001);
      }),
  );

  test("again and again, each token is a fresh model's on what is left of the text", () =>
    withDecoders(8, async (decoder, fresh) => {
      const tokens = await textOf(decoder, [1, 5, 9], { contextShift: { keep: 2 } });
      expect(tokens).toHaveLength(30);
      let read = [1, 5, 9];
      for (const token of tokens) {
        fresh.truncate(0);
        const logits = await fresh.read(read);
        expect(token).toBe(logits.indexOf(Math.max(...logits)));
        if (read.length === 8) read = [1, 5, ...read.slice(5)];
        read.push(token);
      }
    }));

  test("with proposals writes the same text", () =>
    withDecoders(12, async (decoder, fresh) => {
      const options = { contextShift: { keep: 1 }, maxTokens: 60 };
      const plain = await textOf(decoder, [1, 5, 9, 5, 9], options);
      expect(await textOf(fresh, [1, 5, 9, 5, 9], { ...options, proposer: promptLookup(4) })).toEqual(plain);
    }));

  test("says nothing new before the context is full", () =>
    withDecoders(64, async (decoder, fresh) => {
      const shifting = await textOf(decoder, [1, 5, 9], { contextShift: { keep: 0 } });
      expect(shifting).toEqual(await textOf(fresh, [1, 5, 9], {}));
    }));

  test("refuses to keep all, and a history that is not what was read", () =>
    withDecoders(8, async (decoder) => {
      expect(() => checkContextShift({ keep: 8 }, decoder, [])).toThrowErrorMatchingInlineSnapshot(
        `[ConfigError: a context of 8 tokens cannot shift with 8 kept]`,
      );
      expect(() => checkContextShift({ keep: 1.5 }, decoder, [])).toThrow("1.5 kept");
      await decoder.read([1, 2]);
      expect(() => checkContextShift({ keep: 1 }, decoder, [1])).toThrowErrorMatchingInlineSnapshot(
        `[ConfigError: the decoder has read 2 tokens, and the history has 1]`,
      );
      await expect(textOf(decoder, [3], { contextShift: { keep: 8 } })).rejects.toThrow("8 kept");
    }));
});
