import { describe, expect, test } from "vitest";
import { createRandom } from "../../src/corpus/random.ts";
import {
  generateText,
  generateTokens,
  type GenerateOptions,
  type StopReason,
  type TextEvent,
  type TextOptions,
} from "../../src/generate/generate.ts";
import { logprobsOf, type TokenLogprobs } from "../../src/generate/logprobs.ts";
import { Decoder } from "../../src/model/decoder.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { tinyTokenizer } from "../dialog/tiny-tokenizer.ts";
import { tinyConfig, tinyWeights } from "../tiny-model.ts";

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

function seeded(seed: number): () => number {
  const random = createRandom(seed);
  return () => random.next();
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
    // No count of tokens would ever be equal to one of these.
    [{ maxTokens: -1 }, "maxTokens (-1) is not a whole number from 0 up"],
    [{ maxTokens: 1.5 }, "maxTokens (1.5) is not a whole number from 0 up"],
    [{ temperature: Number.NaN }, "temperature (NaN) is not a number from 0 up"],
    [{ topP: 2 }, "top-p (2) does not lie in (0, 1]"],
    [{ minP: -1 }, "min-p (-1) does not lie in [0, 1]"],
    [{ bannedIds: [48] }, "the list of banned tokens names token 48, and the vocabulary has 48"],
    [{ logprobs: { top: -1, report: () => {} } }, "top-logprobs (-1) is not a whole number from 0 to 1000"],
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

describe("generation with more than temperature", () => {
  test("a high frequency penalty lets no token come twice before all have come", () =>
    withDecoder(64, async (decoder) => {
      const { ids } = await generated(decoder, [1], { frequencyPenalty: 100, maxTokens: 48 });
      expect(new Set(ids).size).toBe(48);
    }));

  test("the repetition penalty looks back on the prompt, and on the history that was read before it", () =>
    withDecoder(64, async (decoder) => {
      await decoder.read([1, 5]);
      const logits = await decoder.read([9]);
      /** The first token when one has the logit -1, and all others -1.5: doubled, -1 is the lowest. */
      const first = async (best: number, options: Partial<GenerateOptions>): Promise<number> => {
        const logitBias = new Map([...logits].map((logit, id) => [id, (id === best ? -1 : -1.5) - logit]));
        decoder.truncate(2);
        return (await generated(decoder, [9], { maxTokens: 1, logitBias, ...options })).ids[0]!;
      };
      expect(await first(9, {})).toBe(9);
      expect(await first(9, { repeatPenalty: 2 })).not.toBe(9);
      expect(await first(5, { repeatPenalty: 2 })).toBe(5);
      expect(await first(5, { repeatPenalty: 2, history: [1, 5] })).not.toBe(5);
    }));

  test("a constraint decides what comes", () =>
    withDecoder(64, async (decoder) => {
      const mask = new Uint32Array(2);
      const allow = (id: number): void => {
        mask.fill(0);
        mask[id >> 5] = 1 << (id & 31);
      };
      allow(40);
      const constraint = { allowed: () => mask, accept: (id: number) => allow(id - 1) };
      expect((await generated(decoder, [1], { constraint, temperature: 1, maxTokens: 4 })).ids).toEqual([
        40, 39, 38, 37,
      ]);
    }));

  test("reports the log-probability of each token by the model, whatever the sampling", () =>
    withDecoder(64, async (decoder) => {
      const heard: TokenLogprobs[] = [];
      const { ids } = await generated(decoder, [1, 5, 9], {
        temperature: 0.2,
        bannedIds: [3],
        next: seeded(4),
        logprobs: { top: 2, report: (logprobs) => void heard.push(logprobs) },
      });
      expect(heard.map(({ id }) => id)).toEqual(ids);
      decoder.truncate(0);
      let logits = await decoder.read([1, 5, 9]);
      for (const [i, id] of ids.entries()) {
        expect(heard[i]).toEqual(logprobsOf(logits, id, 2));
        logits = await decoder.read([id]);
      }
    }));
});

describe("text", () => {
  const tokenizer = tinyTokenizer();
  const config = { ...tinyConfig, vocabSize: tokenizer.vocabSize };
  /** The bytes of the alphabet only, so that any text is readable. */
  const bannedIds = Array.from({ length: config.vocabSize }, (_, id) => id).filter(
    (id) => id < 3 + 0x61 || id > 3 + 0x7a,
  );

  async function withModel(
    body: (
      text: (options?: Partial<TextOptions>, signal?: AbortSignal) => Promise<TextEvent[]>,
    ) => Promise<void>,
  ): Promise<void> {
    using backend = openBackend({ threads: 1 });
    using weights = tinyWeights(backend, config);
    using decoder = new Decoder(backend, weights, { contextTokens: 64 });
    await body(async (options = {}, signal) => {
      decoder.truncate(0);
      const all = { ...greedy, temperature: 1, next: seeded(1), bannedIds, ...options };
      const events: TextEvent[] = [];
      for await (const event of generateText({ decoder, tokenizer }, [1, 100, 101], all, signal))
        events.push(event);
      return events;
    });
  }

  const textOf = (events: readonly TextEvent[]): string => events.map(({ text }) => text).join("");

  test("is that of the tokens, and ends by saying why", () =>
    withModel(async (text) => {
      const events = await text();
      const ids = events.flatMap((event) => (event.type === "token" ? [event.id] : []));
      expect(ids).toHaveLength(10);
      expect(textOf(events)).toBe(String.fromCharCode(...ids.map((id) => id - 3)));
      expect(events.at(-1)).toEqual({ type: "done", reason: "length", text: "" });
    }));

  test("ends before a stop string, which is over the border of two tokens", () =>
    withModel(async (text) => {
      const whole = textOf(await text());
      const stop = whole.slice(4, 7);
      const events = await text({ stopStrings: ["never", stop] });
      expect(textOf(events)).toBe(whole.slice(0, whole.indexOf(stop)));
      expect(events.at(-1)).toEqual({ type: "done", reason: "stop", text: "", stopString: stop });
      // The tokens of the stop string are among those that were made, and show nothing.
      expect(events.filter(({ type }) => type === "token")).toHaveLength(whole.indexOf(stop) + 3);
    }));

  test("shows in the end what was held back for a stop string that did not come", () =>
    withModel(async (text) => {
      const whole = textOf(await text());
      const events = await text({ stopStrings: [`${whole.slice(-3)}!`] });
      expect(textOf(events)).toBe(whole);
      expect(events.at(-1)).toEqual({ type: "done", reason: "length", text: whole.slice(-3) });
    }));

  test("reports log-probabilities when it is asked to", () =>
    withModel(async (text) => {
      expect((await text())[0]).not.toHaveProperty("logprobs");
      const [first] = await text({ topLogprobs: 3 });
      expect(first).toMatchObject({ type: "token", logprobs: { id: (first as { id: number }).id } });
      expect((first as { logprobs: TokenLogprobs }).logprobs.top).toHaveLength(3);
    }));

  test("that is aborted says so, and keeps what was made", () =>
    withModel(async (text) => {
      const controller = new AbortController();
      let count = 0;
      const next = (): number => {
        count += 1;
        if (count === 3) controller.abort();
        return 0.5;
      };
      const events = await text({ next }, controller.signal);
      expect(events.map(({ type }) => type)).toEqual(["token", "token", "token", "done"]);
      expect(events.at(-1)).toMatchObject({ reason: "aborted" });
      expect(await text({}, AbortSignal.abort())).toEqual([{ type: "done", reason: "aborted", text: "" }]);
    }));

  test("with an empty stop string is refused before anything is read", () =>
    withModel(async (text) => {
      await expect(text({ stopStrings: [""] })).rejects.toThrow("a stop string is empty");
    }));
});
