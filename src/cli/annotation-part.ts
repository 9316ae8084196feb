/** The annotation part of a server, for the commands that have one. */

import { randomInt } from "node:crypto";
import { resolve } from "node:path";
import { createRandom } from "../corpus/random.ts";
import { invite, listAnnotators, type Annotator } from "../preference/annotation/annotators.ts";
import type { Database } from "../preference/database.ts";
import { createAnnotation, type Annotation, type AnnotationOptions } from "../serve/annotate/annotation.ts";
import { engineAnswers } from "../serve/annotate/engine-answers.ts";
import { modelId, type ServerOptions } from "../serve/start.ts";
import type { TextStream } from "./terminal.ts";

/** Of an answer, where nothing else is said. */
export const answerTokens = 512;

export interface AnnotationPart extends Pick<AnnotationOptions, "database" | "variants" | "report"> {
  /** Of the server: the variants' are among them. */
  readonly models: ServerOptions["models"];
  /** Of an answer. */
  readonly maxTokens: number;
}

/** The caller disposes it once the server is closed. */
export function openAnnotation({ models, maxTokens, ...options }: AnnotationPart): Annotation {
  const ids = new Map(models.map((model) => [resolve(model.path), modelId(model)]));
  const idOf = (model: string): string => ids.get(model) ?? model;
  return createAnnotation({
    ...options,
    answersOf: engineAnswers({ idOf, maxTokens }),
    random: createRandom(randomInt(2 ** 31)),
  });
}

export interface Invitations {
  readonly database: Database;
  /** Invited too where there is no lead yet: nobody else could invite from the page. */
  readonly lead: string | undefined;
  readonly people: readonly string[];
}

/** Prints a link for each. */
export async function printInvitations(
  url: string,
  { database, lead, people }: Invitations,
  stdout: TextStream,
): Promise<void> {
  const print = async (name: string, role: Annotator["role"]): Promise<void> => {
    const token = await invite(database, name, role);
    stdout.write(`${name}${role === "lead" ? " (lead)" : ""}: ${url}/annotate/#${token}\n`);
  };
  const hasLead = (await listAnnotators(database)).some(({ role }) => role === "lead");
  if (lead !== undefined || !hasLead) await print(lead ?? "lead", "lead");
  for (const name of people) await print(name, "annotator");
}
