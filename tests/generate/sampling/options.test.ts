/** What is refused, and what it says. */

import { describe, expect, test } from "vitest";
import {
  checkSampling,
  createSampler,
  metaSampling,
  sample,
  type SamplingOptions,
} from "../../../src/generate/sampling.ts";
import { all, logits } from "./reference.ts";

describe("what cannot be sampled is refused:", () => {
  const inf = Number.NEGATIVE_INFINITY;
  test.each<[string, Float32Array, Partial<SamplingOptions>, string]>([
    ["a NaN", Float32Array.of(0, Number.NaN), {}, "EngineError: the model's logit of token 1 is NaN"],
    [
      "an infinite logit",
      Float32Array.of(0, Number.POSITIVE_INFINITY),
      {},
      "EngineError: the model's logit of token 1 is Infinity",
    ],
    ["no logit", Float32Array.of(inf, inf), {}, "EngineError: all 2 logits of the model are -Infinity"],
    [
      "nothing allowed",
      Float32Array.of(0, 0),
      { bannedIds: [0, 1] },
      "ConfigError: biases, bans and the constraint leave none of 2 tokens",
    ],
    [
      "a mask that is too short",
      new Float32Array(33),
      { constraint: { allowed: () => new Uint32Array(1), accept: () => {} } },
      "ConfigError: a mask of 1 words does not fit a vocabulary of 33 tokens",
    ],
  ])("%s", (_title, logits, options, message) => {
    for (const temperature of [0, 1]) {
      const [name, text] = message.split(/: (.*)/s);
      expect(() => sample(logits, { ...all, temperature, ...options }, () => 0.5)).toThrow(
        expect.objectContaining({ name, message: text }),
      );
    }
  });

  test("logits of another vocabulary", () => {
    const sampler = createSampler(all, 3, () => 0);
    expect(() => sampler.sample(logits)).toThrow("4 logits, and the vocabulary has 3 tokens");
  });
});

describe("settings that cannot be are refused:", () => {
  test.each<[Partial<SamplingOptions>, string]>([
    [{ temperature: -1 }, "temperature (-1) is not a number from 0 up\n0 is greedy, 0.6 is Meta's."],
    [{ topK: 1.5 }, "top-k (1.5) is not a whole number from 0 up\n0 turns it off."],
    [{ topP: 0 }, "top-p (0) does not lie in (0, 1]\n1 turns it off."],
    [{ minP: 1.5 }, "min-p (1.5) does not lie in [0, 1]\n0 turns it off."],
    [{ minP: Number.NaN }, "min-p (NaN) does not lie in [0, 1]\n0 turns it off."],
    [{ typicalP: 0 }, "typical-p (0) does not lie in (0, 1]\n1 turns it off."],
    [{ repeatPenalty: 0 }, "repeat-penalty (0) does not lie in [0.01, 100]\n1 turns it off, 1.1 is usual."],
    [
      { repeatLastN: -2 },
      "repeat-last-n (-2) is not a whole number from -1 up\n64 is usual, -1 is all tokens, 0 none.",
    ],
    [
      { presencePenalty: Number.NaN },
      "presence-penalty (NaN) does not lie in [-100, 100]\n0 turns it off, 0.1 to 1 is usual.",
    ],
    [
      { frequencyPenalty: -101 },
      "frequency-penalty (-101) does not lie in [-100, 100]\n0 turns it off, 0.1 to 1 is usual.",
    ],
    [{ mirostat: { tau: 0, eta: 0.1 } }, "mirostat-tau (0) is not a number above 0\n5 bits is usual."],
    [{ mirostat: { tau: 5, eta: 2 } }, "mirostat-eta (2) does not lie in (0, 1]\n0.1 is usual."],
    [
      { mirostat: { tau: 5, eta: 0.1 }, temperature: 0 },
      "mirostat draws tokens, and temperature (0) takes the most probable one\n" +
        "Set the temperature to 1, or leave mirostat out.",
    ],
    [
      { mirostat: { tau: 5, eta: 0.1 }, topP: 0.9 },
      "mirostat and top-p (0.9) both say which tokens are kept\nSet top-p to 1, or leave mirostat out.",
    ],
    [
      { mirostat: { tau: 5, eta: 0.1 }, minP: 0.1 },
      "mirostat and min-p (0.1) both say which tokens are kept\nSet min-p to 0, or leave mirostat out.",
    ],
    [
      { logitBias: new Map([[4, Number.POSITIVE_INFINITY]]) },
      "the logit-bias of token 4 (Infinity) does not lie in [-1000000, 1000000]\n" +
        "100 forces a token, -Infinity bans it.",
    ],
    [
      { logitBias: new Map([[10, 1]]) },
      "logit-bias names token 10, and the vocabulary has 10\n`cria tokenizer encode` shows the ids of a text.",
    ],
    [
      { bannedIds: [-1] },
      "the list of banned tokens names a token -1, which is not a whole number from 0 up\n" +
        "`cria tokenizer encode` shows the ids of a text.",
    ],
  ])("%o", (options, message) => {
    const [text, mend] = message.split("\n");
    for (const refuse of [
      () => checkSampling({ ...all, ...options }, 10),
      () => createSampler({ ...all, ...options }, 10, () => 0),
    ])
      expect(refuse).toThrow(expect.objectContaining({ name: "ConfigError", message: text, mend }));
  });

  test("Meta's own are not", () => {
    expect(() => checkSampling(metaSampling)).not.toThrow();
  });
});
