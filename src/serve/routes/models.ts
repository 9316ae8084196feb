/** `GET /v1/models` and `/v1/models/:id`, of OpenAI's API. */

import { z } from "zod";
import type { ModelStatus } from "../engine.ts";
import { RequestError } from "../problem.ts";
import type { RouteModule } from "../route.ts";

const Model = z.object({
  id: z.string(),
  object: z.literal("model"),
  created: z.int(),
  owned_by: z.string(),
  state: z.enum(["unloaded", "loading", "ready", "failed"]),
  context_tokens: z.int().nullable().describe("Known once the model was opened."),
  parameters: z.int().nullable(),
  threads: z.int().nullable(),
  cache_bytes: z.int().nullable().describe("Of cached keys and values, all texts together."),
  packed_bytes: z.int().nullable().describe("Of weights laid out anew for faster products."),
});

export const modelRoutes: RouteModule = ({ engine }) => {
  const created = Math.floor(Date.now() / 1000);
  const body = ({ id, state, description }: ModelStatus): z.output<typeof Model> => ({
    id,
    object: "model",
    created,
    owned_by: "cria",
    state,
    context_tokens: description?.contextTokens ?? null,
    parameters: description?.parameters ?? null,
    threads: description?.threads ?? null,
    cache_bytes: description?.cacheBytes ?? null,
    packed_bytes: description?.packedBytes ?? null,
  });
  return [
    {
      method: "get",
      path: "/v1/models",
      summary: "The models that can be asked for",
      answer: z.object({ object: z.literal("list"), data: z.array(Model) }),
      handle: ({ c }) => c.json({ object: "list", data: engine.models().map(body) }),
    },
    {
      method: "get",
      path: "/v1/models/:id",
      summary: "One of the models",
      answer: Model,
      handle({ c }) {
        const id = c.req.param("id");
        const model = engine.models().find((model) => model.id === id);
        if (model !== undefined) return c.json(body(model));
        throw new RequestError({
          status: 404,
          message: "There is no such model; GET /v1/models lists them.",
          type: "invalid_request_error",
          param: "model",
          code: "model_not_found",
        });
      },
    },
  ];
};
