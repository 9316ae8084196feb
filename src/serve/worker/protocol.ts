/** What the server and a model's process tell each other, by Node's channel between a process and its child. */

import type { GenerateEvent, GenerateRequest, ModelDescription, ModelStats } from "../engine.ts";
import type { ApiProblem } from "../problem.ts";
import type { ServedModel, ServedModelOptions } from "./served-model.ts";

/** What is asked and answered once. */
export type Question = "embed" | "tokenize" | "detokenize" | "applyTemplate";

export type QuestionArgument<Q extends Question> = Parameters<ServedModel[Q]>[0];
export type Answer<Q extends Question> = Awaited<ReturnType<ServedModel[Q]>>;

export type ToModel =
  /** The first message. */
  | { readonly type: "open"; readonly options: ServedModelOptions }
  | { readonly type: "generate"; readonly id: number; readonly request: GenerateRequest }
  | { readonly type: "cancel"; readonly id: number }
  | {
      readonly type: "ask";
      readonly id: number;
      readonly question: Question;
      readonly argument: unknown;
    }
  /** Whether other models compute on the same cores: each pass then waits for its turn. */
  | { readonly type: "sharing"; readonly isShared: boolean }
  | { readonly type: "turn" };

export type FromModel =
  | { readonly type: "ready"; readonly description: ModelDescription; readonly stats: ModelStats }
  | { readonly type: "not-opened"; readonly problem: ApiProblem }
  /** What happened since the last such message, with each request's id. */
  | {
      readonly type: "events";
      readonly events: readonly (readonly [id: number, event: GenerateEvent])[];
      readonly stats: ModelStats;
    }
  | { readonly type: "answer"; readonly id: number; readonly answer: unknown }
  | { readonly type: "refusal"; readonly id: number; readonly problem: ApiProblem }
  | { readonly type: "turn-wanted" }
  | { readonly type: "turn-over" };
