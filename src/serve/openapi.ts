/** The OpenAPI 3.1 document of the routes, made from the schemas that check requests. */

import { z } from "zod";
import type { Route } from "./route.ts";

export function openApiDocument(routes: readonly Route[]): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) {
    const path = route.path.replaceAll(/:(\w+)/g, "{$1}");
    paths[path] = { ...paths[path], [route.method]: operationOf(route) };
  }
  return {
    openapi: "3.1.0",
    info: { title: "Cria", version: "1", description: "An OpenAI-compatible API for Llama models." },
    components: { securitySchemes: { key: { type: "http", scheme: "bearer" } }, schemas: { Problem } },
    paths,
  };
}

// --- internal ---

const Problem = {
  type: "object",
  properties: {
    error: {
      type: "object",
      properties: {
        message: { type: "string" },
        type: { type: "string" },
        param: { type: ["string", "null"] },
        code: { type: ["string", "null"] },
      },
      required: ["message", "type", "param", "code"],
    },
  },
  required: ["error"],
};

function operationOf(route: Route): object {
  const parameters = [...route.path.matchAll(/:(\w+)/g)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
  const body =
    route.body === undefined
      ? {}
      : { requestBody: { required: true, content: json(schemaOf(route.body, "input")) } };
  const answer = route.answer === undefined ? {} : { content: json(schemaOf(route.answer, "output")) };
  return {
    summary: route.summary,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(route.isPublic === true ? {} : { security: [{ key: [] }] }),
    ...body,
    responses: {
      200: { description: "Done", ...answer },
      default: { description: "A problem", content: json({ $ref: "#/components/schemas/Problem" }) },
    },
  };
}

function json(schema: object): object {
  return { "application/json": { schema } };
}

function schemaOf(schema: z.ZodType, io: "input" | "output"): object {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: "any" });
  return rest;
}
