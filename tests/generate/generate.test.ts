import { describe, expect, test } from "vitest";
import { createRandom } from "../../src/corpus/random.ts";
import { generateTokens, type GenerateOptions, type StopReason } from "../../src/generate/generate.ts";
import { Decoder } from "../../src/model/decoder.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { tinyWeights } from "../tiny-model.ts";

const greedy: GenerateOptions = {
  temperature: 0,
  topK: 0,
  topP: 1,
  maxTokens: 10,
  stopIds: [],
  next: () => 0,
};

interface Generated {
  readonly ids: readonly number[];
  readonly reason: StopReason;
}

async function generated(
  decoder: Decoder,
  prompt: readonly number[],
  options: Partial<GenerateOptions> = {},
): Promise<Generated> {
  const tokens = generateTokens(decoder, prompt, { ...greedy, ...options });
  const ids: number[] = [];
  for (let step = await tokens.next(); ; step = await tokens.next()) {
    if (step.done === true) return { ids, reason: step.value };
    ids.push(step.value);
  }
}

/** A decoder of a model that is the same for all tests. */
async function withDecoder(contextTokens: number, body: (decoder: Decoder) => Promise<void>): Promise<void> {
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend);
  using decoder = new Decoder(backend, weights, { contextTokens });
  await body(decoder);
}

describe("generation", () => {
  test("at temperature 0 takes the most probable token each time", () =>
    withDecoder(64, async (decoder) => {
      const { ids, reason } = await generated(decoder, [1, 5, 9]);
      expect(reason).toBe("length");
      expect(ids).toHaveLength(10);
      decoder.truncate(0);
      let logits = await decoder.read([1, 5, 9]);
      for (const id of ids) {
        expect(id).toBe(logits.indexOf(Math.max(...logits)));
        logits = await decoder.read([id]);
      }
    }));

  test("goes on from what the decoder has read: a prompt in two parts is the prompt", () =>
    withDecoder(64, async (decoder) => {
      const { ids } = await generated(decoder, [1, 5, 9, 4]);
      decoder.truncate(0);
      await decoder.read([1, 5]);
      expect((await generated(decoder, [9, 4])).ids).toEqual(ids);
    }));

  test("ends before a stop token, which is not part of the text", () =>
    withDecoder(64, async (decoder) => {
      const { ids } = await generated(decoder, [1, 5, 9]);
      const stop = ids[4]!;
      decoder.truncate(0);
      const stopped = await generated(decoder, [1, 5, 9], { stopIds: [stop] });
      expect(stopped).toEqual({ ids: ids.slice(0, ids.indexOf(stop)), reason: "stop" });
    }));

  test("ends where the context does: the last token is written and not read", () =>
    withDecoder(8, async (decoder) => {
      const { ids, reason } = await generated(decoder, [1, 5, 9], { maxTokens: 100 });
      expect(reason).toBe("context");
      // 3 tokens of the prompt and 5 more are read; the 6th is what they say.
      expect(ids).toHaveLength(6);
      expect(decoder.length).toBe(8);
    }));

  test("of no tokens says nothing", () =>
    withDecoder(8, async (decoder) => {
      expect(await generated(decoder, [1], { maxTokens: 0 })).toEqual({ ids: [], reason: "length" });
    }));

  test("with a seed draws the same tokens again, with another others", () =>
    withDecoder(64, async (decoder) => {
      const draw = async (seed: number): Promise<readonly number[]> => {
        const random = createRandom(seed);
        decoder.truncate(0);
        return (await generated(decoder, [1], { temperature: 1, maxTokens: 20, next: () => random.next() }))
          .ids;
      };
      expect(await draw(1)).toEqual(await draw(1));
      expect(await draw(1)).not.toEqual(await draw(2));
    }));

  test("stops between tokens when it is aborted, and the decoder can go on", () =>
    withDecoder(64, async (decoder) => {
      const controller = new AbortController();
      const ids: number[] = [];
      const run = async (): Promise<void> => {
        for await (const id of generateTokens(decoder, [1, 5, 9], greedy, controller.signal)) {
          ids.push(id);
          if (ids.length === 3) controller.abort(new Error("enough"));
        }
      };
      await expect(run()).rejects.toThrow("enough");
      expect(ids).toHaveLength(3);
      expect(decoder.length).toBe(5);
      const whole = await (async () => {
        decoder.truncate(0);
        return (await generated(decoder, [1, 5, 9])).ids;
      })();
      expect(ids).toEqual(whole.slice(0, 3));
    }));

  test.each([
    [{ temperature: Number.NaN }, "temperature (NaN) is not a number from 0 up"],
    [{ topP: 2 }, "top-p (2) does not lie in (0, 1]"],
  ])("%o is refused before anything is read", (options, message) =>
    withDecoder(8, async (decoder) => {
      await expect(generated(decoder, [1], options)).rejects.toThrow(message);
      expect(decoder.length).toBe(0);
    }),
  );

  test("a prompt that does not fit is refused", () =>
    withDecoder(4, async (decoder) => {
      await expect(generated(decoder, [1, 2, 3, 4, 5])).rejects.toThrow(
        "5 tokens do not fit into the context of 4",
      );
    }));
});
