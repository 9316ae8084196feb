/** What the routes of the annotation API share. */

import type { Context } from "hono";
import type { z } from "zod";
import type { Random } from "../../corpus/random.ts";
import type { Annotator } from "../../preference/annotation/annotators.ts";
import type { Variant } from "../../preference/annotation/batches.ts";
import type { Database } from "../../preference/database.ts";
import type { AnswerGenerator } from "../../preference/annotation/answers.ts";

export interface AnnotationOptions {
  readonly database: Database;
  readonly generate: AnswerGenerator;
  /** Draws sides and seeds. */
  readonly random: Random;
  /** What new batches compare. */
  readonly variants: readonly Omit<Variant, "place">[];
}

export interface AnnotationEnvironment {
  readonly Variables: { annotator: Annotator };
}

/** A request's JSON body. @throws {z.ZodError} or {SyntaxError} where it is not as the schema says. */
export async function bodyOf<S extends z.ZodType>(c: Context, schema: S): Promise<z.output<S>> {
  if (!/^application\/json\b/i.test(c.req.header("content-type") ?? "")) throw new SyntaxError("not JSON");
  const text = await c.req.text();
  if (text.length > maxBody) throw new SyntaxError(`more than ${maxBody} characters`);
  return schema.parse(JSON.parse(text));
}

// --- internal ---

const maxBody = 200_000;
