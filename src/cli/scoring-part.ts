/** The scoring part of a server: reward models, each in a process of its own that its first request starts. */

import { basename, resolve } from "node:path";
import { readModelFiles } from "../model/load.ts";
import type { RouteModule } from "../serve/route.ts";
import { scoreRoutes } from "../serve/routes/score.ts";
import { ScoreProcess } from "./score-process.ts";

export interface ScoringPart extends Disposable {
  readonly routes: readonly RouteModule[];
}

export interface ScoringOptions {
  readonly device: string;
  readonly threads?: number | undefined;
}

/** The caller disposes it. @throws {FormatError} for what is no reward model: now, and not to the first client. */
export function openScoring(
  named: readonly { readonly path: string; readonly id?: string }[],
  { device, threads }: ScoringOptions,
): ScoringPart {
  for (const { path } of named) readModelFiles(path, "scalar");
  const words = ["--device", device, ...(threads === undefined ? [] : ["--threads", String(threads)])];
  const models = named.map(({ id, path }) => ({
    name: id ?? basename(resolve(path)),
    scorer: new ScoreProcess(path, words),
  }));
  const byName = new Map(
    models.map(({ name, scorer }) => [name, (answers: readonly object[]) => scorer.score(answers)]),
  );
  return {
    routes: models.length === 0 ? [] : [scoreRoutes(byName)],
    [Symbol.dispose]() {
      for (const { scorer } of models) scorer[Symbol.dispose]();
    },
  };
}
