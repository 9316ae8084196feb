/** A model that knows nothing, held to a grammar while it generates. */

import { expect, test } from "vitest";
import { fromJSONSchema } from "zod";
import { createRandom } from "../../../src/corpus/random.ts";
import { generateText } from "../../../src/generate/generate.ts";
import { TokenGrammar } from "../../../src/generate/grammar/constraint.ts";
import { grammarOfSchema } from "../../../src/generate/grammar/json-schema.ts";
import { Decoder } from "../../../src/model/decoder.ts";
import { openBackend } from "../../../src/tensor/backend.ts";
import { tinyConfig, tinyWeights } from "../../tiny-model.ts";
import { eosId, tokenizer, trie } from "./reading.ts";

const schema = {
  type: "object" as const,
  properties: {
    id: { type: "integer" as const, minimum: 1, maximum: 500 },
    tags: { type: "array" as const, items: { type: "string" as const, maxLength: 4 }, maxItems: 3 },
    kind: { enum: ["a", "b", null] },
  },
  required: ["id", "kind"],
  additionalProperties: false,
};

test("writes JSON of the schema, with and without a text before it", async () => {
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend, { ...tinyConfig, vocabSize: tokenizer.vocabSize, maxSeqLen: 512 });
  using decoder = new Decoder(backend, weights);
  const grammar = new TokenGrammar(grammarOfSchema(schema), trie);
  const judge = fromJSONSchema(schema);
  let whole = 0;
  for (let seed = 0; seed < 24; seed += 1) {
    const random = createRandom(seed);
    const isWhole = seed % 2 === 0;
    const constraint = grammar.start({ endIds: [eosId], dropsLeadingSpace: isWhole });
    const prompt = [tokenizer.bosId, ...(isWhole ? [] : tokenizer.encode("JSON:"))];
    decoder.truncate(0);
    let text = "";
    const options = {
      temperature: 1,
      topK: 0,
      topP: 1,
      maxTokens: 300,
      stopIds: [eosId],
      next: () => random.next(),
    };
    for await (const event of generateText({ decoder, tokenizer }, prompt, { ...options, constraint })) {
      text += event.text;
      if (event.type !== "done" || event.reason !== "stop") continue;
      whole += 1;
      expect([text, judge.safeParse(JSON.parse(text)).success]).toEqual([text, true]);
    }
  }
  expect(whole).toBeGreaterThan(12);
});
