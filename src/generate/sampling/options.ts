/** The settings of sampling, under the names that users of llama.cpp know, and which of them cannot be. */

import { ConfigError } from "../../errors/errors.ts";

export interface SamplingOptions {
  /** Divides the logits; 0 takes the most probable token. */
  readonly temperature: number;
  /** Only the k most probable tokens; 0 for all. */
  readonly topK: number;
  /** Only the most probable tokens whose predecessors sum to at most p. */
  readonly topP: number;
  /** Only tokens at least so probable as this share of the most probable one; 0 for all. */
  readonly minP?: number;
  /** Only the tokens whose surprise is nearest to the entropy, up to this mass; 1 for all. */
  readonly typicalP?: number;
  /** θ: a token of the last `repeatLastN` has a positive logit divided, a negative one multiplied; 1 for none. */
  readonly repeatPenalty?: number;
  /** How many tokens, of the prompt too, `repeatPenalty` looks back on; -1 for all, 0 for none. */
  readonly repeatLastN?: number;
  /** Taken from the logit of each token that was generated before. */
  readonly presencePenalty?: number;
  /** Taken from a token's logit for each time that it was generated. */
  readonly frequencyPenalty?: number;
  /** Keeps the surprise of the text near τ, in place of the filters. */
  readonly mirostat?: Mirostat;
  /** Added to the logits of these ids; -Infinity bans a token. */
  readonly logitBias?: ReadonlyMap<number, number>;
  /** Ids that are never drawn. */
  readonly bannedIds?: readonly number[];
  /** Says before each token which may come next. */
  readonly constraint?: TokenConstraint;
}

export interface Mirostat {
  /** τ, the surprise to keep to, in bits a token. */
  readonly tau: number;
  /** η, the share of the error that is corrected at each token. */
  readonly eta: number;
}

/** What the text so far allows to come next, for instance by a grammar. */
export interface TokenConstraint {
  /**
   * Asked before each token. Token i may come when bit i mod 32 of word ⌊i / 32⌋ is set; undefined allows all. The
   * array may be the same one each time. `[⌈vocab / 32⌉]`
   */
  allowed(): Uint32Array | undefined;
  /** The text goes on with this token. */
  accept(id: number): void;
}

/** Meta's reference settings (llama-2 generation: temperature 0.6, top-p 0.9). */
export const metaSampling: SamplingOptions = { temperature: 0.6, topK: 0, topP: 0.9 };

/** What a setting that is left out stands for: each turns itself off, but the window is llama.cpp's. */
export const samplingDefaults = {
  minP: 0,
  typicalP: 1,
  repeatPenalty: 1,
  repeatLastN: 64,
  presencePenalty: 0,
  frequencyPenalty: 0,
} as const satisfies Partial<SamplingOptions>;

/** llama.cpp's η for mirostat. */
export const defaultMirostatEta = 0.1;

/**
 * @param vocabSize checks the ids of biases and bans too, where it is known.
 * @throws {ConfigError} naming the setting that cannot be, or the two that exclude each other.
 */
export function checkSampling(options: SamplingOptions, vocabSize?: number): void {
  const { temperature, topK, topP } = options;
  if (!Number.isFinite(temperature) || temperature < 0) {
    throw new ConfigError(`temperature (${temperature}) is not a number from 0 up`, {
      mend: "0 is greedy, 0.6 is Meta's.",
    });
  }
  if (!Number.isInteger(topK) || topK < 0) {
    throw new ConfigError(`top-k (${topK}) is not a whole number from 0 up`, { mend: "0 turns it off." });
  }
  if (!(topP > 0 && topP <= 1)) {
    throw new ConfigError(`top-p (${topP}) does not lie in (0, 1]`, { mend: "1 turns it off." });
  }
  checkFilters(options);
  checkPenalties(options);
  checkMirostat(options);
  checkIds(options, vocabSize);
}

// --- internal ---

/** Penalties and biases beyond these are mistakes, and would leave the range of f32 in the end. */
const largestPenalty = 100;
const largestBias = 1e6;

function checkFilters({
  minP = samplingDefaults.minP,
  typicalP = samplingDefaults.typicalP,
}: SamplingOptions): void {
  if (!(minP >= 0 && minP <= 1)) {
    throw new ConfigError(`min-p (${minP}) does not lie in [0, 1]`, { mend: "0 turns it off." });
  }
  if (!(typicalP > 0 && typicalP <= 1)) {
    throw new ConfigError(`typical-p (${typicalP}) does not lie in (0, 1]`, { mend: "1 turns it off." });
  }
}

function checkPenalties(options: SamplingOptions): void {
  const { repeatPenalty, repeatLastN, presencePenalty, frequencyPenalty } = {
    ...samplingDefaults,
    ...options,
  };
  if (!(repeatPenalty >= 1 / largestPenalty && repeatPenalty <= largestPenalty)) {
    throw new ConfigError(`repeat-penalty (${repeatPenalty}) does not lie in [0.01, 100]`, {
      mend: "1 turns it off, 1.1 is usual.",
    });
  }
  if (!Number.isInteger(repeatLastN) || repeatLastN < -1) {
    throw new ConfigError(`repeat-last-n (${repeatLastN}) is not a whole number from -1 up`, {
      mend: "64 is usual, -1 is all tokens, 0 none.",
    });
  }
  const shifts = { "presence-penalty": presencePenalty, "frequency-penalty": frequencyPenalty };
  for (const [name, penalty] of Object.entries(shifts)) {
    if (Math.abs(penalty) <= largestPenalty) continue;
    throw new ConfigError(`${name} (${penalty}) does not lie in [-100, 100]`, {
      mend: "0 turns it off, 0.1 to 1 is usual.",
    });
  }
}

function checkMirostat({ mirostat, temperature, ...filters }: SamplingOptions): void {
  if (mirostat === undefined) return;
  const { tau, eta } = mirostat;
  if (!Number.isFinite(tau) || tau <= 0) {
    throw new ConfigError(`mirostat-tau (${tau}) is not a number above 0`, { mend: "5 bits is usual." });
  }
  if (!(eta > 0 && eta <= 1)) {
    throw new ConfigError(`mirostat-eta (${eta}) does not lie in (0, 1]`, { mend: "0.1 is usual." });
  }
  if (temperature === 0) {
    throw new ConfigError("mirostat draws tokens, and temperature (0) takes the most probable one", {
      mend: "Set the temperature to 1, or leave mirostat out.",
    });
  }
  const { topK, topP, minP = samplingDefaults.minP, typicalP = samplingDefaults.typicalP } = filters;
  const rivals: [name: string, value: number, off: number][] = [
    ["top-k", topK, 0],
    ["typical-p", typicalP, 1],
    ["top-p", topP, 1],
    ["min-p", minP, 0],
  ];
  for (const [name, value, off] of rivals) {
    if (value === off) continue;
    throw new ConfigError(`mirostat and ${name} (${value}) both say which tokens are kept`, {
      mend: `Set ${name} to ${off}, or leave mirostat out.`,
    });
  }
}

function checkIds({ logitBias, bannedIds = [] }: SamplingOptions, vocabSize?: number): void {
  for (const [id, bias] of logitBias ?? []) {
    checkId(id, vocabSize, "logit-bias");
    if (Math.abs(bias) <= largestBias || bias === Number.NEGATIVE_INFINITY) continue;
    throw new ConfigError(`the logit-bias of token ${id} (${bias}) does not lie in [-1000000, 1000000]`, {
      mend: "100 forces a token, -Infinity bans it.",
    });
  }
  for (const id of bannedIds) checkId(id, vocabSize, "the list of banned tokens");
}

function checkId(id: number, vocabSize: number | undefined, name: string): void {
  if (!Number.isInteger(id) || id < 0) {
    throw new ConfigError(`${name} names a token ${id}, which is not a whole number from 0 up`, {
      mend: "`cria tokenizer encode` shows the ids of a text.",
    });
  }
  if (vocabSize === undefined || id < vocabSize) return;
  throw new ConfigError(`${name} names token ${id}, and the vocabulary has ${vocabSize}`, {
    mend: "`cria tokenizer encode` shows the ids of a text.",
  });
}
