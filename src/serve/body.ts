/** A request's JSON body: no longer than allowed, and of the shape that its route takes. */

import type { HonoRequest } from "hono";
import type { z } from "zod";
import { invalid, RequestError } from "./problem.ts";

/** @throws {RequestError} for a body that is too long, not JSON, or not as the schema says. */
export async function readBody(request: HonoRequest, schema: z.ZodType, maxBytes: number): Promise<unknown> {
  const type = request.header("content-type") ?? "";
  if (!/^application\/([a-z.+-]+\+)?json\b/i.test(type)) {
    throw new RequestError({
      status: 415,
      message: "The body is to be JSON, with the content type application/json.",
      type: "invalid_request_error",
    });
  }
  const text = new TextDecoder().decode(await readBytes(request, maxBytes));
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid("The body is not JSON.");
  }
  if (isDeeper(value, mostLevels)) throw invalid(`The body nests more than ${mostLevels} levels.`);
  return checked(value, schema);
}

/** @throws {RequestError} naming the first field that is not as the schema says. */
export function checked<S extends z.ZodType>(value: unknown, schema: S): z.output<S> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = innermost(parsed.error.issues[0]!);
  const param = issue.path.join(".");
  throw invalid(
    param === "" ? issue.message : `${param}: ${issue.message}`,
    param === "" ? undefined : param,
  );
}

// --- internal ---

/** Far above any honest body's. What goes on to a model's process is written by recursion. */
const mostLevels = 256;

/** Level by level, for the value may be deeper than the stack. */
function isDeeper(value: unknown, levels: number): boolean {
  let level = [value].filter(isNode);
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth === levels) return true;
    level = level.flatMap((node) => Object.values(node).filter(isNode));
  }
  return false;
}

function isNode(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

interface Issue {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** Of a union, what is wrong with the alternative that came furthest. */
function innermost(issue: z.core.$ZodIssue): Issue {
  if (issue.code !== "invalid_union") return { path: issue.path, message: issue.message };
  let furthest: Issue | undefined;
  for (const [first] of issue.errors) {
    if (first === undefined) continue;
    const inner = innermost(first);
    const path = [...issue.path, ...inner.path];
    if (furthest === undefined || path.length > furthest.path.length)
      furthest = { path, message: inner.message };
  }
  return furthest !== undefined && furthest.path.length > issue.path.length
    ? furthest
    : { path: issue.path, message: issue.message };
}

async function readBytes(request: HonoRequest, maxBytes: number): Promise<Uint8Array> {
  if (Number(request.header("content-length") ?? 0) > maxBytes) throw tooLarge(maxBytes);
  const chunks: Uint8Array[] = [];
  let size = 0;
  // The length that a client claims may be wrong, and a chunked body claims none.
  for await (const chunk of request.raw.body ?? []) {
    size += (chunk as Uint8Array).byteLength;
    if (size > maxBytes) throw tooLarge(maxBytes);
    chunks.push(chunk as Uint8Array);
  }
  return Buffer.concat(chunks);
}

function tooLarge(maxBytes: number): RequestError {
  return new RequestError({
    status: 413,
    message: `The body has more than ${maxBytes} bytes.`,
    type: "invalid_request_error",
    code: "body_too_large",
  });
}
