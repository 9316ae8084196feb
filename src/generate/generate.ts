/** What comes after a prompt: tokens, one at a time, or their text. */

import { ConfigError } from "../errors/errors.ts";
import type { Decoder } from "../model/decoder.ts";
import { createStreamDecoder } from "../tokenizer/stream.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { checkContextShift, shiftContext, type ContextShift, type Forget } from "./context-shift.ts";
import { checkTopLogprobs, logprobsOf, type TokenLogprobs } from "./logprobs.ts";
import { createSampler, type SamplingOptions } from "./sampling.ts";
import { drawFrom, readWith, type ReadTokens, type TokenProposer } from "./speculation.ts";
import { createStopStrings } from "./stop-strings.ts";

export interface GenerateOptions extends SamplingOptions {
  /** At most so many tokens. */
  readonly maxTokens: number;
  /** Ends the text; not yielded. */
  readonly stopIds: readonly number[];
  /** Uniform in [0, 1): a fixed sequence gives the same text again. */
  readonly next: () => number;
  /** Tokens before the prompt, which the decoder has read: the repetition penalty looks back on them too. */
  readonly history?: ArrayLike<number>;
  /** Told of each token before it is yielded. */
  readonly logprobs?: LogprobsListener;
  /** Guesses what comes next: several tokens are then read at once. The text is the same, and faster where it is right. */
  readonly proposer?: TokenProposer;
  /** The text goes on when the context is full, which else ends it. The history is then all that the decoder has read. */
  readonly contextShift?: ContextShift | Forget;
}

export interface LogprobsListener {
  /** How many of the most probable tokens are reported beside the one that was drawn. */
  readonly top: number;
  report(logprobs: TokenLogprobs): void;
}

/** Why a text ended. */
export type StopReason = "stop" | "length" | "context";

/**
 * Reads the prompt and yields tokens until a stop token, the limit, or the end of a context that does not shift.
 *
 * @param prompt tokens that the decoder has not read yet, at least one.
 * @yields each token's id.
 * @throws {ConfigError} for a setting that cannot be, before anything is read.
 * @throws the signal's reason when it is aborted; what the decoder has read by then stays read.
 */
export async function* generateTokens(
  decoder: Decoder,
  prompt: ArrayLike<number>,
  options: GenerateOptions,
  signal?: AbortSignal,
): AsyncGenerator<number, StopReason> {
  const { logprobs, maxTokens, proposer, contextShift, history = [] } = options;
  checkMaxTokens(maxTokens);
  const sampler = createSampler(options, decoder.weights.config.vocabSize, options.next);
  if (logprobs !== undefined) checkTopLogprobs(logprobs.top);
  checkContextShift(contextShift, decoder, history);
  sampler.read(history);
  sampler.read(prompt);
  let text = [...Array.from(history), ...Array.from(prompt)];
  let read: ReadTokens = { proposed: [], rows: [await decoder.read(prompt, signal)] };
  for (let count = 0; ;) {
    const { tokens, kept, isStopped } = drawFrom(read, sampler, { ...options, maxTokens: maxTokens - count });
    // What was proposed and not drawn is forgotten before anybody can ask what was read.
    decoder.truncate(decoder.length - read.proposed.length + kept);
    for (const [i, token] of tokens.entries()) {
      logprobs?.report(logprobsOf(read.rows[i]!, token, logprobs.top));
      yield token;
    }
    count += tokens.length;
    if (isStopped) return "stop";
    if (count === maxTokens) return "length";
    text.push(...tokens);
    if (decoder.length === decoder.contextTokens) {
      if (contextShift === undefined) return "context";
      text = await shiftContext(decoder, text, contextShift, signal);
    }
    const room = decoder.contextTokens - decoder.length;
    const most = Math.min(room, maxTokens - count) - 1;
    const proposed = most < 1 ? undefined : await proposer?.propose(text, most, signal);
    read = await readWith(decoder, tokens.at(-1)!, proposed?.slice(0, most) ?? [], signal);
  }
}

/** @throws {ConfigError} unless it is a whole number from 0 up: no count would ever reach it. */
export function checkMaxTokens(maxTokens: number): void {
  if (!Number.isInteger(maxTokens) || maxTokens < 0)
    throw new ConfigError(`maxTokens (${maxTokens}) is not a whole number from 0 up`);
}

export interface TextOptions extends Omit<GenerateOptions, "logprobs"> {
  /** The text ends before the first of these. */
  readonly stopStrings?: readonly string[];
  /** Reports the log-probability of each token, and of so many of the most probable ones. */
  readonly topLogprobs?: number;
}

export type TextEvent =
  | {
      readonly type: "token";
      readonly id: number;
      /** What may be shown now; empty while a character or a stop string may still become whole. */
      readonly text: string;
      readonly logprobs?: TokenLogprobs;
    }
  | {
      readonly type: "done";
      readonly reason: StopReason | "aborted";
      /** The rest of the text, which was held back. */
      readonly text: string;
      /** The stop string that ended it. */
      readonly stopString?: string;
    };

/**
 * The text that follows the prompt, as it is made. The token that completes a stop string is the last.
 *
 * @param model   the decoder, and the tokenizer that its prompt is of.
 * @param prompt  tokens that the decoder has not read yet, at least one.
 * @yields each token, and in the end why there is no more; an aborted text ends so too.
 */
export async function* generateText(
  model: { readonly decoder: Decoder; readonly tokenizer: Tokenizer },
  prompt: ArrayLike<number>,
  options: TextOptions,
  signal?: AbortSignal,
): AsyncGenerator<TextEvent, void> {
  const { stopStrings = [], topLogprobs, history = [], ...rest } = options;
  const stops = createStopStrings(stopStrings);
  const stream = createStreamDecoder(model.tokenizer, [...Array.from(history), ...Array.from(prompt)]);
  let reported: TokenLogprobs | undefined;
  const report = (logprobs: TokenLogprobs): void => void (reported = logprobs);
  const tokens = generateTokens(
    model.decoder,
    prompt,
    { ...rest, history, ...(topLogprobs === undefined ? {} : { logprobs: { top: topLogprobs, report } }) },
    signal,
  );
  let reason: StopReason | "aborted" = "aborted";
  try {
    for (let step = await tokens.next(); ; step = await tokens.next()) {
      if (step.done === true) {
        reason = step.value;
        break;
      }
      const { text, stopped } = stops.push(stream.push(step.value));
      yield {
        type: "token",
        id: step.value,
        text,
        ...(reported === undefined ? {} : { logprobs: reported }),
      };
      if (!stopped) continue;
      reason = "stop";
      break;
    }
  } catch (error) {
    if (signal?.aborted !== true) throw error;
  }
  const { text } = stops.push(stream.end());
  const { found } = stops;
  yield {
    type: "done",
    reason: found === undefined ? reason : "stop",
    text: text + stops.end(),
    ...(found === undefined ? {} : { stopString: found }),
  };
}
