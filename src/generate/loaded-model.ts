/** A model that is ready to generate: its weights, its tokenizer and a decoder. */

import { randomInt } from "node:crypto";
import { createRandom } from "../corpus/random.ts";
import { chatFormat, llama2Format, type ChatFormat } from "../dialog/chat-format.ts";
import type { Dialog } from "../dialog/message.ts";
import { readChatTemplate } from "../dialog/template-source.ts";
import { Decoder } from "../model/decoder.ts";
import type { CacheType } from "../model/kv-cache.ts";
import { loadWeights, readModelFiles, type ModelFiles } from "../model/load.ts";
import { openBackend, type Backend, type BackendOptions } from "../tensor/backend.ts";
import { tokenizerOfModel } from "../tokenizer/open.ts";
import { unusedIds, type Tokenizer } from "../tokenizer/tokenizer.ts";
import { embedText, type Pooling } from "./embeddings.ts";
import { generateText, type TextEvent, type TextOptions } from "./generate.ts";
import type { ConstraintOptions } from "./grammar/constraint.ts";
import { grammarOf, TokenGrammars, type OutputFormat } from "./grammar/output-format.ts";
import { metaSampling, type SamplingOptions } from "./sampling.ts";

export interface LoadOptions extends BackendOptions {
  /** Path of the tokenizer, for a model that does not carry its own. */
  readonly tokenizer?: string;
  /** Longest context, in tokens; the model's own when left out. */
  readonly contextTokens?: number;
  /** Type of cached keys and values; f32 when left out and the weights are f32, else f16. */
  readonly cacheType?: CacheType;
  /** Whether matrices are laid out anew where this processor then multiplies faster, in memory of their own: yes when left out. */
  readonly repack?: boolean;
  /** Ends the loading. */
  readonly signal?: AbortSignal;
}

/** What the texts of a model are like; what is left out is Meta's, and a seed of chance. */
export interface AnswerSettings extends Partial<Omit<TextOptions, "next" | "stopIds" | "history">> {
  /** The same seed gives the same text. */
  readonly seed?: number;
  /** Holds the text to JSON, to a JSON Schema, or to a grammar, in place of a constraint of one's own. */
  readonly format?: OutputFormat;
  /** Ends the text, which then ends with "aborted". */
  readonly signal?: AbortSignal;
}

/**
 * A model, its tokenizer and one decoder, which its texts take turns with.
 *
 *     await using model = await loadModel("model.gguf");
 *     for await (const event of model.chat([{ role: "user", content: "Why?" }])) process.stdout.write(event.text);
 */
export interface LoadedModel extends Disposable, AsyncDisposable {
  readonly files: ModelFiles;
  readonly tokenizer: Tokenizer;
  /**
   * How the model reads conversations: by the template that it brings, or as Llama 2.
   *
   * @throws {ConfigError} for a template that cannot be read.
   */
  readonly chatFormat: ChatFormat;
  readonly decoder: Decoder;
  readonly backend: Backend;
  /**
   * The answer to a dialog.
   *
   * @param messages end with the user's.
   * @throws {ConfigError} for a schema or a grammar that cannot be.
   */
  chat(messages: Dialog, settings?: AnswerSettings): AsyncGenerator<TextEvent, void>;
  /** What follows a text. @throws {ConfigError} for a schema or a grammar that cannot be. */
  complete(prompt: string, settings?: AnswerSettings): AsyncGenerator<TextEvent, void>;
  /** A text as a vector of length 1, near those of similar texts. `[dim]` */
  embed(text: string, pooling?: Pooling): Promise<Float32Array>;
}

/**
 * Opens a Hugging Face directory, a `.gguf` file or a llama2.c `.bin`; the caller disposes it. What is copied out of
 * the files or packed is so on another thread: the event loop stays free.
 *
 * @throws {ConfigError} when something is missing. @throws {FormatError} when a file is damaged.
 * @throws {EngineError} when the memory does not suffice. @throws the signal's reason when it is aborted.
 */
export async function loadModel(path: string, options: LoadOptions = {}): Promise<LoadedModel> {
  const files = readModelFiles(path);
  const tokenizer = tokenizerOfModel(path, files.config.vocabSize, options.tokenizer);
  const owned: Disposable[] = [];
  const dispose = (): void => {
    for (const owner of owned.toReversed()) owner[Symbol.dispose]();
    owned.length = 0;
  };
  try {
    const backend = openBackend(options);
    owned.push(backend);
    const { contextTokens, cacheType, repack = true, signal } = options;
    const weights = await loadWeights(backend, files, { repack, unusedIds: unusedIds(tokenizer), signal });
    owned.push(weights);
    const decoder = new Decoder(backend, weights, {
      ...(contextTokens === undefined ? {} : { contextTokens }),
      ...(cacheType === undefined ? {} : { cacheType }),
    });
    owned.push(decoder);
    // Read when it is asked for: a model whose template is broken still goes on with a text.
    let format: ChatFormat | undefined;
    const readFormat = (): ChatFormat => (format ??= chatFormatOf(path, tokenizer));
    return {
      files,
      tokenizer,
      get chatFormat() {
        return readFormat();
      },
      decoder,
      backend,
      ...textsOf({ backend, decoder, tokenizer }, readFormat),
      [Symbol.dispose]: dispose,
      [Symbol.asyncDispose]: async () => dispose(),
    };
  } catch (error) {
    dispose();
    throw error;
  }
}

/** The format of the template that a model's files bring; Llama 2's where they bring none. */
export function chatFormatOf(path: string, tokenizer: Tokenizer): ChatFormat {
  const source = readChatTemplate(path);
  return source === undefined ? llama2Format(tokenizer) : chatFormat(source, tokenizer);
}

// --- internal ---

const nothing = (): void => {};

type Held = Pick<SamplingOptions, "constraint">;

type Texts = Pick<LoadedModel, "chat" | "complete" | "embed">;

function textsOf(
  { backend, decoder, tokenizer }: Pick<LoadedModel, "backend" | "decoder" | "tokenizer">,
  readFormat: () => ChatFormat,
): Texts {
  const grammars = new TokenGrammars(tokenizer, decoder.weights.config.vocabSize);
  const heldTo = (format: OutputFormat | undefined, options: ConstraintOptions): Held =>
    format === undefined
      ? {}
      : { constraint: grammars.of(JSON.stringify(format), () => grammarOf(format))!.start(options) };
  // Whoever uses the decoder ends before the next begins.
  let turn: Promise<void> = Promise.resolve();
  async function* text(
    prompt: Int32Array,
    stopIds: readonly number[],
    settings: Omit<AnswerSettings, "format">,
  ): AsyncGenerator<TextEvent, void> {
    const { seed = randomInt(2 ** 31), signal, ...rest } = settings;
    const random = createRandom(seed);
    const before = turn;
    let end = nothing;
    turn = new Promise((resolve) => (end = resolve));
    try {
      await before;
      decoder.truncate(0);
      const options = { ...metaSampling, maxTokens: 512, ...rest, stopIds, next: () => random.next() };
      yield* generateText({ decoder, tokenizer }, prompt, options, signal);
    } finally {
      end();
    }
  }
  const withBos = (content: string): Int32Array =>
    Int32Array.of(tokenizer.bosId, ...tokenizer.encode(content));
  return {
    chat(messages, { format, ...settings } = {}) {
      const chat = readFormat();
      const { stopIds } = chat;
      const stopStrings = [...chat.stopStrings, ...(settings.stopStrings ?? [])];
      // The space that an answer begins with is the chat format's.
      const held = heldTo(format, { endIds: stopIds, dropsLeadingSpace: true });
      return trimmed(text(chat.encode(messages), stopIds, { ...settings, ...held, stopStrings }));
    },
    complete(prompt, { format, ...settings } = {}) {
      const stopIds = [tokenizer.eosId, tokenizer.bosId].filter((id) => id >= 0);
      const held = heldTo(format, { endIds: stopIds, dropsLeadingSpace: prompt === "" });
      return text(withBos(prompt), stopIds, { ...settings, ...held });
    },
    embed: (content, pooling) => embedText(backend, decoder.weights, withBos(content), pooling),
  };
}

/** @yields the events without white space at the beginning: the space before an answer is the format's. */
async function* trimmed(events: AsyncGenerator<TextEvent, void>): AsyncGenerator<TextEvent, void> {
  let hasText = false;
  for await (const event of events) {
    const text: string = hasText ? event.text : event.text.trimStart();
    hasText ||= text !== "";
    yield { ...event, text };
  }
}
