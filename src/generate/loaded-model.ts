/** A model that is ready to generate: its weights, its tokenizer and a decoder. */

import { chatFormat, llama2Format, type ChatFormat } from "../dialog/chat-format.ts";
import { readChatTemplate } from "../dialog/template-source.ts";
import { Decoder } from "../model/decoder.ts";
import type { CacheType } from "../model/kv-cache.ts";
import { openWeights, readModelFiles, type ModelFiles } from "../model/load.ts";
import { openBackend, type Backend, type BackendOptions } from "../tensor/backend.ts";
import { tokenizerOfModel } from "../tokenizer/open.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

export interface LoadOptions extends BackendOptions {
  /** Path of the tokenizer, for a model that does not carry its own. */
  readonly tokenizer?: string;
  /** Longest context, in tokens; the model's own when left out. */
  readonly contextTokens?: number;
  /** Type of cached keys and values; f32 when left out and the weights are f32, else f16. */
  readonly cacheType?: CacheType;
  /** Whether quantised matrices are laid out anew for faster products, in memory of their own: yes when left out. */
  readonly repack?: boolean;
}

export interface LoadedModel extends Disposable {
  readonly files: ModelFiles;
  readonly tokenizer: Tokenizer;
  /**
   * How the model reads conversations: by the template that it brings, or as Llama 2.
   *
   * @throws {ConfigError} for a template that cannot be read.
   */
  readonly chat: ChatFormat;
  readonly decoder: Decoder;
  readonly backend: Backend;
}

/**
 * Opens a Hugging Face directory, a `.gguf` file or a llama2.c `.bin`; the caller disposes it.
 *
 * @throws {ConfigError} when something is missing. @throws {FormatError} when a file is damaged.
 * @throws {EngineError} when the memory does not suffice.
 */
export function loadModel(path: string, options: LoadOptions = {}): LoadedModel {
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
    const { contextTokens, cacheType, repack = true } = options;
    const weights = openWeights(backend, files, { repack });
    owned.push(weights);
    const decoder = new Decoder(backend, weights, {
      ...(contextTokens === undefined ? {} : { contextTokens }),
      ...(cacheType === undefined ? {} : { cacheType }),
    });
    owned.push(decoder);
    // Read when it is asked for: a model whose template is broken still goes on with a text.
    let chat: ChatFormat | undefined;
    return {
      files,
      tokenizer,
      get chat() {
        return (chat ??= chatFormatOf(path, tokenizer));
      },
      decoder,
      backend,
      [Symbol.dispose]: dispose,
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
