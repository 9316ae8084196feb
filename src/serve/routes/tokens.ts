/** `/tokenize`, `/detokenize` and `/apply-template`, as llama.cpp's server has them. */

import { z } from "zod";
import { charactersOf, checkPromptSize, modelOf } from "../request.ts";
import { defineRoute, type RouteModule } from "../route.ts";
import { ChatMessage, messageOf } from "../schema/chat.ts";

const model = z.string().nullish().describe("The first that is served when left out.");

export const tokenRoutes: RouteModule = (context) => [
  defineRoute({
    method: "post",
    path: "/tokenize",
    summary: "The tokens of a text",
    body: z.object({
      model,
      content: z.string(),
      add_special: z.boolean().nullish().describe("Puts BOS before it."),
      with_pieces: z.boolean().nullish(),
    }),
    answer: z.object({
      tokens: z.union([z.array(z.int()), z.array(z.object({ id: z.int(), piece: z.string() }))]),
    }),
    async handle({ c, body }) {
      checkPromptSize(context, body.content.length, "content");
      const request = {
        model: modelOf(context, body.model),
        text: body.content,
        addSpecial: body.add_special === true,
      };
      const tokens = await context.engine.tokenize(request);
      return c.json({ tokens: body.with_pieces === true ? tokens : tokens.map(({ id }) => id) });
    },
  }),
  defineRoute({
    method: "post",
    path: "/detokenize",
    summary: "The text of tokens",
    body: z.object({ model, tokens: z.array(z.int().min(0)) }),
    answer: z.object({ content: z.string() }),
    async handle({ c, body }) {
      return c.json({ content: await context.engine.detokenize(modelOf(context, body.model), body.tokens) });
    },
  }),
  defineRoute({
    method: "post",
    path: "/apply-template",
    summary: "What the model reads of a conversation",
    body: z.object({ model, messages: z.array(ChatMessage).min(1) }),
    answer: z.object({ prompt: z.string() }),
    async handle({ c, body }) {
      const messages = body.messages.map(messageOf);
      checkPromptSize(context, charactersOf(messages), "messages");
      const prompt = await context.engine.applyTemplate(modelOf(context, body.model), {
        type: "messages",
        messages,
      });
      return c.json({ prompt });
    },
  }),
];
