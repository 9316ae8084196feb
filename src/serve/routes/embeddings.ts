/** `POST /v1/embeddings`, of OpenAI's API. */

import { z } from "zod";
import { invalid } from "../problem.ts";
import { checkPromptSize, modelOf } from "../request.ts";
import { defineRoute, type RouteModule } from "../route.ts";

const tokens = z.array(z.int().min(0)).min(1);

const EmbeddingRequest = z.object({
  model: z.string().nullish().describe("The first that is served when left out."),
  input: z.union([z.string(), z.array(z.string()).min(1), tokens, z.array(tokens).min(1)], {
    error: "wants a text, a list of texts, token ids, or a list of those",
  }),
  encoding_format: z.enum(["float", "base64"]).nullish(),
});

const EmbeddingAnswer = z.object({
  object: z.literal("list"),
  model: z.string(),
  data: z.array(
    z.object({
      object: z.literal("embedding"),
      index: z.int(),
      embedding: z.union([z.array(z.number()), z.string().describe("Little-endian f32 in base64.")]),
    }),
  ),
  usage: z.object({ prompt_tokens: z.int(), total_tokens: z.int() }),
});

export const embeddingRoutes: RouteModule = (context) => [
  defineRoute({
    method: "post",
    path: "/v1/embeddings",
    summary: "Vectors of length 1, the mean of each text's final states",
    body: EmbeddingRequest,
    answer: EmbeddingAnswer,
    async handle({ c, body, signal, note }) {
      const model = modelOf(context, body.model);
      note.model = model;
      const inputs = inputsOf(body.input);
      if (inputs.length > context.limits.inputs) {
        throw invalid(`${inputs.length} inputs, of which ${context.limits.inputs} are the most`, "input");
      }
      checkPromptSize(
        context,
        inputs.reduce((sum, { length }) => sum + length, 0),
        "input",
      );
      const { vectors, promptTokens } = await context.engine.embed({ model, inputs }, signal);
      note.promptTokens = promptTokens;
      const encode = body.encoding_format === "base64" ? base64 : numbers;
      return c.json({
        object: "list",
        model,
        data: vectors.map((vector, index) => ({ object: "embedding", index, embedding: encode(vector) })),
        usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
      });
    },
  }),
];

// --- internal ---

function inputsOf(input: z.output<typeof EmbeddingRequest>["input"]): (string | number[])[] {
  if (typeof input === "string") return [input];
  return typeof input[0] === "number" ? [input as number[]] : (input as (string | number[])[]);
}

function base64(vector: Float32Array): string {
  return Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString("base64");
}

function numbers(vector: Float32Array): number[] {
  return [...vector];
}
