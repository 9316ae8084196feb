/** `POST /v1/score`: what a reward model says of answers. Of no other API: OpenAI's has none that scores. */

import { z } from "zod";
import { ConfigError } from "../../errors/errors.ts";
import { invalid, RequestError } from "../problem.ts";
import { charactersOf, checkPromptSize } from "../request.ts";
import { defineRoute, type RouteModule } from "../route.ts";
import { ChatMessage, messageOf } from "../schema/chat.ts";

/** Scores each answer before any sigmoid, the larger the better. */
export type ScoreAnswers = (
  answers: readonly {
    readonly prompt: readonly ReturnType<typeof messageOf>[];
    readonly answer: string;
  }[],
  signal: AbortSignal,
) => Promise<readonly number[]>;

/** @param models by the names they are asked for; the first serves who names none. */
export function scoreRoutes(models: ReadonlyMap<string, ScoreAnswers>): RouteModule {
  return (context) => [
    defineRoute({
      method: "post",
      path: "/v1/score",
      summary: "A reward model's scores of answers",
      body: ScoreRequest,
      answer: ScoreAnswer,
      async handle({ c, body, signal, note }) {
        const model = body.model ?? [...models.keys()][0] ?? "";
        const score = models.get(model);
        if (score === undefined) {
          throw new RequestError({
            status: 404,
            message: `There is no reward model "${model}"; there are ${[...models.keys()].join(", ")}.`,
            type: "invalid_request_error",
            param: "model",
            code: "model_not_found",
          });
        }
        note.model = model;
        if (body.input.length > context.limits.inputs) {
          throw invalid(
            `${body.input.length} answers, of which ${context.limits.inputs} are the most`,
            "input",
          );
        }
        const answers = body.input.map(({ prompt, answer }) => ({ prompt: dialogOf(prompt), answer }));
        const characters = answers.reduce(
          (sum, { prompt, answer }) => sum + charactersOf(prompt) + answer.length,
          0,
        );
        checkPromptSize(context, characters, "input");
        const scores = await score(answers, signal).catch((error: unknown) => {
          throw error instanceof ConfigError ? invalid(error.message, "input") : error;
        });
        const data = scores.map((value, index) => ({
          object: "score" as const,
          index,
          score: value,
          probability: 1 / (1 + Math.exp(-value)),
        }));
        return c.json({ object: "list", model, data });
      },
    }),
  ];
}

// --- internal ---

const ScoreRequest = z.object({
  model: z.string().nullish().describe("The first reward model that is served when left out."),
  input: z
    .array(
      z.object({
        prompt: z.union([z.string(), z.array(ChatMessage).min(1)], {
          error: "wants a text or a list of messages that ends with the user's",
        }),
        answer: z.string(),
      }),
    )
    .min(1),
});

const ScoreAnswer = z.object({
  object: z.literal("list"),
  model: z.string(),
  data: z.array(
    z.object({
      object: z.literal("score"),
      index: z.int(),
      score: z.number().describe("The larger the better; of two answers, the difference is the log-odds."),
      probability: z.number().describe("The score's sigmoid, as Llama 2's paper shows scores."),
    }),
  ),
});

function dialogOf(prompt: z.output<typeof ScoreRequest>["input"][number]["prompt"]) {
  return typeof prompt === "string" ? [messageOf({ role: "user", content: prompt })] : prompt.map(messageOf);
}
