/**
 * What the HTTP side asks of the models. All of it is plain data, since the models live in other processes; neither
 * side knows how the other works.
 */

import type { TemplateMessage } from "../dialog/template-message.ts";
import type { OutputFormat } from "../generate/grammar/output-format.ts";
import type { ToolChoice, ToolDefinition } from "../generate/tools.ts";
import type { ApiProblem } from "./problem.ts";

export interface Engine {
  /** The models that can be asked for, in the order in which they were given. */
  models(): readonly ModelStatus[];
  /** @throws {RequestError} when there is no such model or it cannot be opened. */
  load(model: string): Promise<ModelDescription>;
  /**
   * What the model writes, as it is made. The first event is `accepted`; ending the iteration ends the work.
   *
   * @throws {RequestError} when it is refused, or comes to an end that it should not.
   */
  generate(request: GenerateRequest, signal?: AbortSignal): AsyncIterableIterator<GenerateEvent>;
  /** Mean of the final states of each text, of length 1. */
  embed(request: EmbedRequest, signal?: AbortSignal): Promise<Embeddings>;
  tokenize(request: TokenizeRequest): Promise<readonly TokenPiece[]>;
  detokenize(model: string, tokens: readonly number[]): Promise<string>;
  /** The prompt of a conversation, as text. */
  applyTemplate(model: string, prompt: ChatPrompt): Promise<string>;
  /** No new work is taken; settles when everything is let go. */
  close(): Promise<void>;
}

export interface ModelDescription {
  readonly contextTokens: number;
  readonly vocabSize: number;
  readonly parameters: number;
  /** Of the weights' files. */
  readonly fileBytes: number;
  /** Of the weights that are laid out anew for faster products. */
  readonly packedBytes: number;
  /** Of cached keys and values. */
  readonly cacheBytes: number;
  readonly threads: number;
}

export interface ModelStatus {
  readonly id: string;
  readonly state: "unloaded" | "loading" | "ready" | "failed";
  /** Once it was opened. */
  readonly description?: ModelDescription;
  /** While it is open. */
  readonly stats?: ModelStats;
  /** How often its process ended by itself. */
  readonly deaths: number;
}

/** How busy a model is. */
export interface ModelStats {
  /** Texts that are being written. */
  readonly running: number;
  /** Requests that wait. */
  readonly waiting: number;
  /** Tokens that the cache holds room for, and how many of them are free. */
  readonly cells: number;
  readonly freeCells: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  /** Passes through the model. */
  readonly steps: number;
  /** Memory of the process, in bytes. */
  readonly residentBytes: number;
}

export interface ChatPrompt {
  readonly type: "messages";
  readonly messages: readonly TemplateMessage[];
  readonly tools?: ToolUse;
}

/** What the model may call. */
export interface ToolUse {
  readonly definitions: readonly ToolDefinition[];
  readonly choice: ToolChoice;
  /** Whether one answer may have several calls. */
  readonly isParallel: boolean;
}

export type Prompt =
  | ChatPrompt
  /** BOS is put before it. */
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "tokens"; readonly tokens: readonly number[] };

/** {@link SamplingOptions} as plain data. */
export interface SamplingSettings {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP?: number;
  readonly typicalP?: number;
  readonly repeatPenalty?: number;
  readonly repeatLastN?: number;
  readonly presencePenalty?: number;
  readonly frequencyPenalty?: number;
  readonly mirostat?: { readonly tau: number; readonly eta: number };
  readonly logitBias?: readonly (readonly [id: number, bias: number])[];
}

export interface GenerateRequest {
  readonly model: string;
  /** Who asks: waiting is fair between them, and nobody's cached prompts serve another. */
  readonly client: string;
  readonly prompt: Prompt;
  /** How many texts. */
  readonly count: number;
  /** At most so many tokens a text; as many as the context holds when left out. */
  readonly maxTokens?: number;
  readonly stop: readonly string[];
  readonly sampling: SamplingSettings;
  /** Text i is drawn with seed + i; by chance when left out. */
  readonly seed?: number;
  /** Reports each token's log-probability, and so many of the most probable ones. */
  readonly topLogprobs?: number;
  readonly format?: OutputFormat;
  /** So many of the prompt's first tokens stay when the context shifts, BOS not counted; as the server has it when left out. */
  readonly keep?: number;
  /** Whether the text goes on where the model would end it. */
  readonly ignoresEnd?: boolean;
}

export interface TokenChance {
  readonly id: number;
  readonly text: string;
  readonly bytes: readonly number[];
  /** In nats. */
  readonly logprob: number;
}

export interface TokenReport extends TokenChance {
  readonly top: readonly TokenChance[];
}

export type GenerateEvent =
  /** The request is valid and has its place. */
  | {
      readonly type: "accepted";
      readonly promptTokens: number;
      /** The mark that opens calls of tools, where there are any that could be called. */
      readonly callMark?: string;
    }
  | {
      readonly type: "text";
      readonly index: number;
      readonly text: string;
      /** Of the tokens that were drawn since the last such event. */
      readonly logprobs?: readonly TokenReport[];
    }
  | {
      readonly type: "finished";
      readonly index: number;
      readonly reason: FinishReason;
      readonly stopString?: string;
    }
  /** The last event. */
  | { readonly type: "done"; readonly usage: Usage }
  /** The last event instead. */
  | { readonly type: "failed"; readonly problem: ApiProblem };

export type FinishReason = "stop" | "length";

export interface Usage {
  readonly promptTokens: number;
  /** Of the prompt's, those that were not computed anew. */
  readonly cachedTokens: number;
  readonly completionTokens: number;
}

export interface EmbedRequest {
  readonly model: string;
  readonly inputs: readonly (string | readonly number[])[];
}

export interface Embeddings {
  /** One for each input. */
  readonly vectors: readonly Float32Array[];
  readonly promptTokens: number;
}

export interface TokenizeRequest {
  readonly model: string;
  readonly text: string;
  /** Whether BOS is put before it. */
  readonly addSpecial: boolean;
}

export interface TokenPiece {
  readonly id: number;
  readonly piece: string;
}
