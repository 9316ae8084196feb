/**
 * The annotation part of the server: who signs in by an invitation sees the own tasks and nobody else's; which variant
 * gave which answer, nobody but the lead; a lead also sees the batches.
 */

import type { Random } from "../../corpus/random.ts";
import { ConfigError } from "../../errors/errors.ts";
import type { AnswerGenerator } from "../../preference/annotation/answers.ts";
import type { Variant } from "../../preference/annotation/batches.ts";
import type { Database } from "../../preference/database.ts";
import type { Engine } from "../engine.ts";
import type { RouteModule } from "../route.ts";
import { AnswerStreams } from "./answer-streams.ts";
import { leadRoutes } from "./lead-routes.ts";
import { sessionRoutes } from "./session.ts";
import { taskRoutes } from "./task-routes.ts";

export interface AnnotationOptions {
  readonly database: Database;
  /** Who answers, of the models that the server has. */
  readonly answersOf: (engine: Engine) => AnswerGenerator;
  /** Draws sides and seeds. */
  readonly random: Random;
  /** What new batches compare. */
  readonly variants: readonly Omit<Variant, "place">[];
  /** Told why an answer failed: the reason may name a variant, so no page is told. */
  readonly report: (reason: string) => void;
}

export interface Annotation extends AsyncDisposable {
  /** Below `/annotate/api`. */
  readonly routes: RouteModule;
}

/** The caller disposes it, which stops answers that are being made, and then the database. */
export function createAnnotation(options: AnnotationOptions): Annotation {
  const streams = new Set<AnswerStreams>();
  return {
    routes({ engine, isOpen }) {
      // What a server that is being stopped cuts off has not failed.
      const report = (reason: string): void => {
        if (isOpen()) options.report(reason);
      };
      const own = new AnswerStreams(options.database, options.answersOf(engine), report);
      streams.add(own);
      return [...sessionRoutes(options), ...taskRoutes(options, own), ...leadRoutes(options)];
    },
    async [Symbol.asyncDispose]() {
      for (const own of streams) await own[Symbol.asyncDispose]();
    },
  };
}

/** @throws {ConfigError} where annotators could ask a variant by its name, and so know it by what it says. */
export function checkBlindness(apiKeys: readonly string[]): void {
  if (apiKeys.length > 0) return;
  throw new ConfigError("annotators could ask the variants by name, for no API key is wanted of anybody", {
    mend: "Give --api-key KEY or --api-key-file FILE, and the key to no annotator.",
  });
}
