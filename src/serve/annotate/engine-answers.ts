/** Answers of a server's models, which are in processes of their own: one that dies costs an answer, not the page. */

import type { AnswerGenerator } from "../../preference/annotation/answers.ts";
import type { Engine } from "../engine.ts";

/**
 * @param idOf the engine's name for a variant's model.
 * @param maxTokens of an answer.
 */
export function engineAnswers({
  idOf,
  maxTokens,
}: {
  readonly idOf: (model: string) => string;
  readonly maxTokens: number;
}): (engine: Engine) => AnswerGenerator {
  return (engine) =>
    async function* ({ variant, prompt, seed }, signal) {
      const events = engine.generate(
        {
          model: idOf(variant.model),
          client: "annotate",
          prompt: { type: "messages", messages: prompt },
          count: 1,
          maxTokens,
          stop: [],
          sampling: { temperature: variant.temperature, topK: 0, topP: 1 },
          seed,
        },
        signal,
      );
      let isFirst = true;
      for await (const event of events) {
        if (event.type === "failed") throw new Error(event.problem.message);
        if (event.type !== "text") continue;
        // The answer follows "[/INST] ": that space is the format's.
        const text = isFirst ? event.text.trimStart() : event.text;
        if (text !== "") isFirst = false;
        yield text;
      }
    };
}
