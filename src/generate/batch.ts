/**
 * Answers to many prompts, several to each, side by side: each prompt is read once, and all its answers go on from
 * its cells; at every step finished answers leave and waiting ones enter.
 *
 * An answer follows from its prompt, its settings and its own seed. What else is generated, and in which order, does
 * not change its logits but by the order in which floating-point sums are taken: on one thread not by a single bit,
 * as long as `BatchDecoder` finds cells for it that ascend (see there).
 */

import { createRandom } from "../corpus/random.ts";
import { ConfigError } from "../errors/errors.ts";
import type { BatchDecoder, SequenceStep } from "../model/batch-decoder.ts";
import { checkMaxTokens, type StopReason } from "./generate.ts";
import { createSampler, type Sampler, type SamplingOptions } from "./sampling.ts";

export interface BatchRequest {
  /** At least one token. */
  readonly prompt: ArrayLike<number>;
  /** One for each answer. */
  readonly seeds: readonly number[];
  readonly options: BatchOptions;
}

export interface BatchOptions extends Omit<SamplingOptions, "constraint"> {
  /** At most so many tokens an answer. */
  readonly maxTokens: number;
  /** Ends an answer, and is no part of it. */
  readonly stopIds: readonly number[];
}

export interface BatchAnswer {
  /** Place of its request. */
  readonly request: number;
  /** Place of its seed in the request. */
  readonly index: number;
  /** Without the stop token. */
  readonly tokens: Int32Array;
  readonly reason: StopReason;
}

export interface BatchLimits {
  /** At most so many answers at once. */
  readonly maxSequences: number;
}

/**
 * Generates with a decoder that nobody else uses meanwhile; in the end its sequences are what they were before.
 *
 * @yields answers as they are finished.
 * @throws {ConfigError} for requests that cannot be, before anything is generated; the signal's reason when it is
 *   aborted, at the next step.
 */
export async function* generateBatch(
  decoder: BatchDecoder,
  requests: readonly BatchRequest[],
  { maxSequences }: BatchLimits,
  signal?: AbortSignal,
): AsyncGenerator<BatchAnswer, void> {
  if (!Number.isInteger(maxSequences) || maxSequences < 1)
    throw new ConfigError(`maxSequences (${maxSequences}) is not a whole number from 1 up`);
  const prompts = requests.map((request, i) => waitingPrompt(decoder, request, i));
  const running = new Set<Answer>();
  try {
    while (prompts.length > 0 || running.size > 0) {
      signal?.throwIfAborted();
      await enter(decoder, { prompts, running, maxSequences }, signal);
      yield* leave(decoder, running);
      await advance(decoder, running, signal);
    }
  } finally {
    for (const { sequence } of [...running, ...prompts]) if (sequence !== undefined) decoder.close(sequence);
  }
}

// --- internal ---

/** A prompt some of whose answers have not begun. */
interface Prompt {
  readonly place: number;
  readonly request: BatchRequest;
  /** The most tokens that an answer can have and the most cells it can take: the last token is never read. */
  readonly most: { readonly tokens: number; readonly cells: number };
  /** How many of its answers have begun. */
  begun: number;
  /** Once it is read: its sequence, and the logits after it. */
  sequence: number | undefined;
  logits: Float32Array | undefined;
}

/** An answer that is about to begin. */
interface Entrant {
  readonly prompt: Prompt;
  readonly index: number;
}

interface Answer {
  readonly prompt: Prompt;
  readonly index: number;
  readonly sequence: number;
  readonly sampler: Sampler;
  readonly tokens: number[];
  reason: StopReason | undefined;
}

function waitingPrompt(decoder: BatchDecoder, request: BatchRequest, place: number): Prompt {
  const { prompt, options } = request;
  const { maxTokens } = options;
  checkMaxTokens(maxTokens);
  if (prompt.length === 0) throw new ConfigError(`prompt ${place} has no tokens`);
  if (prompt.length > decoder.contextTokens) {
    throw new ConfigError(
      `prompt ${place} has ${prompt.length} tokens, and the context ${decoder.contextTokens}`,
      { mend: "Shorten the prompt." },
    );
  }
  // Fails now, not when its turn comes.
  createSampler(options, decoder.weights.config.vocabSize, () => 0);
  const read = Math.min(maxTokens - 1, decoder.contextTokens - prompt.length);
  const cells = Math.max(0, read);
  if (prompt.length + cells > decoder.freeCells) {
    throw new ConfigError(
      `prompt ${place} and an answer take ${prompt.length + cells} cells, and ${decoder.freeCells} are free`,
      { mend: "Ask for fewer tokens, or make the decoder with more cells." },
    );
  }
  const most = { tokens: Math.min(maxTokens, read + 1), cells };
  return { place, request, most, begun: 0, sequence: undefined, logits: undefined };
}

interface Batch extends BatchLimits {
  readonly prompts: Prompt[];
  readonly running: Set<Answer>;
}

/** Begins as many answers as have room, and cells to their end for sure; prompts that are new are read together. */
async function enter(decoder: BatchDecoder, batch: Batch, signal?: AbortSignal): Promise<void> {
  const { prompts, running } = batch;
  const entering = entrants(decoder, batch);
  await readPrompts(decoder, new Set(entering.map(({ prompt }) => prompt)), signal);
  for (const { prompt, index } of entering) running.add(begin(decoder, prompt, index));
  while (prompts[0] !== undefined && prompts[0].begun === prompts[0].request.seeds.length) {
    const { sequence } = prompts.shift()!;
    if (sequence !== undefined) decoder.close(sequence);
  }
}

function entrants(decoder: BatchDecoder, { prompts, running, maxSequences }: Batch): Entrant[] {
  let free = decoder.freeCells;
  for (const { prompt, sequence } of running)
    free -= prompt.request.prompt.length + prompt.most.cells - decoder.length(sequence);
  const entering: Entrant[] = [];
  for (const prompt of prompts) {
    let own = prompt.sequence === undefined ? prompt.request.prompt.length : 0;
    for (let index = prompt.begun; index < prompt.request.seeds.length; index += 1) {
      if (running.size + entering.length === maxSequences) return entering;
      free -= own + prompt.most.cells;
      if (free < 0) return entering;
      own = 0;
      entering.push({ prompt, index });
    }
  }
  return entering;
}

/** As many at once as one pass takes; none in two parts for the sake of others, which would change its sums. */
async function readPrompts(
  decoder: BatchDecoder,
  prompts: ReadonlySet<Prompt>,
  signal?: AbortSignal,
): Promise<void> {
  const steps: SequenceStep[] = [];
  const read: Prompt[] = [];
  const flush = async (): Promise<void> => {
    const logits = await decoder.step(steps.splice(0), signal);
    for (const [i, prompt] of read.splice(0).entries()) prompt.logits = logits[i]!.slice();
  };
  let room = decoder.chunkTokens;
  for (const prompt of prompts) {
    if (prompt.sequence !== undefined) continue;
    const { prompt: tokens } = prompt.request;
    if (tokens.length > room && steps.length > 0) await flush();
    if (steps.length === 0) room = decoder.chunkTokens;
    room -= tokens.length;
    prompt.sequence = decoder.open();
    steps.push({ sequence: prompt.sequence, tokens, wants: "last" });
    read.push(prompt);
  }
  if (steps.length > 0) await flush();
}

function begin(decoder: BatchDecoder, prompt: Prompt, index: number): Answer {
  const { request } = prompt;
  const random = createRandom(request.seeds[index]!);
  const sampler = createSampler(request.options, decoder.weights.config.vocabSize, () => random.next());
  sampler.read(request.prompt);
  prompt.begun = index + 1;
  const sequence = decoder.fork(prompt.sequence!);
  const answer: Answer = { prompt, index, sequence, sampler, tokens: [], reason: undefined };
  if (request.options.maxTokens === 0) answer.reason = "length";
  else draw(answer, prompt.logits!);
  return answer;
}

/** Draws a token, and says why it is the last if it is. */
function draw(answer: Answer, logits: Float32Array): void {
  const { maxTokens, stopIds } = answer.prompt.request.options;
  const token = answer.sampler.sample(logits);
  if (stopIds.includes(token)) {
    answer.reason = "stop";
    return;
  }
  answer.sampler.accept(token);
  answer.tokens.push(token);
  if (answer.tokens.length < answer.prompt.most.tokens) return;
  answer.reason = answer.tokens.length === maxTokens ? "length" : "context";
}

function* leave(decoder: BatchDecoder, running: Set<Answer>): Generator<BatchAnswer> {
  for (const answer of running) {
    const { prompt, index, sequence, tokens, reason } = answer;
    if (reason === undefined) continue;
    decoder.close(sequence);
    running.delete(answer);
    yield { request: prompt.place, index, tokens: Int32Array.from(tokens), reason };
  }
}

/** One token more for every running answer. */
async function advance(
  decoder: BatchDecoder,
  running: ReadonlySet<Answer>,
  signal?: AbortSignal,
): Promise<void> {
  if (running.size === 0) return;
  const answers = [...running];
  const steps = answers.map(
    ({ sequence, tokens }) => ({ sequence, tokens: tokens.slice(-1), wants: "last" }) as const,
  );
  const logits = await decoder.step(steps, signal);
  for (const [i, answer] of answers.entries()) draw(answer, logits[i]!);
}
