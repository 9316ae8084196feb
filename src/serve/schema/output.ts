/** What texts are held to (`response_format`, and llama.cpp's `json_schema` and `grammar`), and tools. */

import { z } from "zod";
import type { OutputFormat } from "../../generate/grammar/output-format.ts";
import type { ToolUse } from "../engine.ts";
import { invalid } from "../problem.ts";

const Schema = z.record(z.string(), z.unknown());

export const OutputFields = {
  response_format: z
    .discriminatedUnion("type", [
      z.object({ type: z.literal("text") }),
      z.object({ type: z.literal("json_object"), schema: Schema.nullish() }),
      z.object({
        type: z.literal("json_schema"),
        json_schema: z.object({ name: z.string().nullish(), schema: Schema, strict: z.boolean().nullish() }),
      }),
    ])
    .nullish()
    .describe("Holds the text to JSON, or to a JSON Schema."),
  json_schema: Schema.nullish().describe("Holds the text to a JSON Schema, as llama.cpp's server has it."),
  grammar: z.string().nullish().describe("Holds the text to a grammar in GBNF."),
} as const;

export const ToolFields = {
  tools: z
    .array(
      z.object({
        type: z.literal("function"),
        function: z.object({
          name: z.string(),
          description: z.string().nullish(),
          parameters: Schema.nullish(),
        }),
      }),
    )
    .nullish(),
  tool_choice: z
    .union(
      [
        z.enum(["none", "auto", "required"]),
        z.object({ type: z.literal("function"), function: z.object({ name: z.string() }) }),
      ],
      { error: 'wants "none", "auto", "required" or a function\'s name' },
    )
    .nullish(),
  parallel_tool_calls: z.boolean().nullish(),
} as const;

type Output = z.output<z.ZodObject<typeof OutputFields>>;
type Tools = z.output<z.ZodObject<typeof ToolFields>>;

/** @throws {RequestError} for more than one of them. */
export function formatOf({
  response_format: format,
  json_schema: schema,
  grammar,
}: Output): OutputFormat | undefined {
  const formats: OutputFormat[] = [];
  if (typeof grammar === "string" && grammar !== "") formats.push({ type: "gbnf", grammar });
  if (schema !== undefined && schema !== null) formats.push({ type: "json-schema", schema });
  if (format?.type === "json_schema")
    formats.push({ type: "json-schema", schema: format.json_schema.schema });
  if (format?.type === "json_object") {
    const isAny = format.schema === undefined || format.schema === null;
    formats.push(isAny ? { type: "json" } : { type: "json-schema", schema: format.schema });
  }
  if (formats.length > 1)
    throw invalid("response_format, json_schema and grammar exclude each other", "response_format");
  return formats[0];
}

/** Undefined where there are none. */
export function toolsOf(fields: Tools): ToolUse | undefined {
  const { tools, tool_choice: choice, parallel_tool_calls: isParallel } = fields;
  const none = tools === undefined || tools === null || tools.length === 0;
  if (none && (choice === undefined || choice === null || choice === "none" || choice === "auto"))
    return undefined;
  return {
    definitions: (tools ?? []).map(({ type, function: { name, description, parameters } }) => ({
      type,
      function: {
        name,
        ...(description === undefined || description === null ? {} : { description }),
        ...(parameters === undefined || parameters === null ? {} : { parameters }),
      },
    })),
    choice: choice ?? "auto",
    isParallel: isParallel ?? true,
  };
}
