import { expect, test } from "vitest";
import { perplexity } from "../../src/evaluate/perplexity.ts";
import { Decoder } from "../../src/model/decoder.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { tinyTokenizer } from "../dialog/tiny-tokenizer.ts";
import { tinyConfig, tinyWeights } from "../tiny-model.ts";

const tokenizer = tinyTokenizer();
const config = { ...tinyConfig, vocabSize: tokenizer.vocabSize };
// Every byte is a piece of its own; é has two.
const text = "zqé xjw";

test("of a model to which all pieces are alike is their number, whatever the windows", async () => {
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend, config);
  const head = weights.byName["output.weight"]!;
  head.write(new Float32Array(head.elements));
  using decoder = new Decoder(backend, weights, { contextTokens: 3 });
  const tokens = tokenizer.encode(text).length;
  const found = await perplexity(decoder, tokenizer, text);
  expect(found).toMatchObject({ tokens, bytes: 8 });
  expect(found.perplexity).toBeCloseTo(config.vocabSize, 2);
  expect(found.loss).toBeCloseTo(Math.log(config.vocabSize), 5);
  expect(found.bitsPerByte).toBeCloseTo((tokens * Math.log2(config.vocabSize)) / 8, 4);
});

test("is over windows that each begin with BOS, and every token is predicted once", async () => {
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend, config);
  const ids = tokenizer.encode(text);
  let nats = 0;
  for (let from = 0; from < ids.length; from += 3) {
    using alone = new Decoder(backend, weights, { contextTokens: 3 });
    const targets = ids.slice(from, from + 3);
    nats += await alone.score(Int32Array.of(tokenizer.bosId, ...targets.slice(0, -1)), targets);
  }
  using decoder = new Decoder(backend, weights, { contextTokens: 3 });
  const seen: number[] = [];
  const onProgress = (done: number): void => void seen.push(done);
  const { loss } = await perplexity(decoder, tokenizer, text, { onProgress });
  expect(loss).toBeCloseTo(nats / ids.length, 6);
  expect(seen.at(-1)).toBe(ids.length);
  await expect(perplexity(decoder, tokenizer, "")).rejects.toThrow("the text is empty");
});
