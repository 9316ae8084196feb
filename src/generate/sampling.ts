/**
 * From logits to one token. What is asked for is applied in this order:
 *
 * 1. logit biases and bans, then what a constraint allows;
 * 2. the repetition penalty (Keskar et al. 2019, CTRL, §4.1) and OpenAI's presence and frequency penalties;
 * 3. temperature;
 * 4. top-k (Fan et al. 2018), typical-p (Meister et al. 2022), top-p (Holtzman et al. 2020), min-p (Nguyen et
 *    al. 2024), each on what the one before it kept; or in their place mirostat 2 (Basu et al. 2020);
 * 5. the draw.
 *
 * The filters are in llama.cpp's default order. The temperature comes before them, where llama.cpp has it last,
 * because Meta's reference and Hugging Face scale first, and top-p 0.9 at temperature 0.6 means what it means there.
 */

import { ConfigError } from "../errors/errors.ts";
import { Adjustments } from "./sampling/adjustments.ts";
import { argmax, noLogits } from "./sampling/argmax.ts";
import { Candidates } from "./sampling/candidates.ts";
import { checkSampling, samplingDefaults, type SamplingOptions } from "./sampling/options.ts";

export {
  checkSampling,
  defaultMirostatEta,
  metaSampling,
  samplingDefaults,
  type Mirostat,
  type SamplingOptions,
  type TokenConstraint,
} from "./sampling/options.ts";

/** Draws the tokens of one text; it remembers them, and keeps its buffers from token to token. */
export interface Sampler {
  /** Tokens that stand before the text, oldest first: the repetition penalty looks back on them. */
  read(ids: ArrayLike<number>): void;
  /**
   * Draws a token. Nothing changes until it is accepted.
   *
   * @param logits not changed. `[vocab]`
   * @throws {ConfigError} when biases, bans and the constraint leave no token.
   * @throws {EngineError} for logits that are not numbers.
   */
  sample(logits: Float32Array): number;
  /** The text goes on with this token, whether it was drawn or comes from elsewhere. */
  accept(id: number): void;
}

/**
 * @param next uniform in [0, 1)
 * @throws {ConfigError} for settings that cannot be.
 */
export function createSampler(options: SamplingOptions, vocabSize: number, next: () => number): Sampler {
  checkSampling(options, vocabSize);
  return new TextSampler(options, vocabSize, next);
}

/**
 * Draws one token, as the first of a text: there is nothing yet that penalties look back on.
 *
 * @param logits `[vocab]`; not changed
 * @param next   uniform in [0, 1)
 */
export function sample(logits: Float32Array, options: SamplingOptions, next: () => number): number {
  return createSampler(options, logits.length, next).sample(logits);
}

// --- internal ---

const nothing = { id: -1, surprise: 0 };

class TextSampler implements Sampler {
  readonly #options: SamplingOptions & Required<Pick<SamplingOptions, keyof typeof samplingDefaults>>;
  readonly #vocabSize: number;
  readonly #next: () => number;
  readonly #adjustments: Adjustments;
  /** Undefined when the most probable token is always taken. */
  readonly #candidates: Candidates | undefined;
  /** Mirostat's μ, in bits: tokens of more surprise are not drawn. */
  #maxSurprise: number;
  /** What was drawn and not accepted yet, and its surprise in bits. */
  #drawn = nothing;

  constructor(options: SamplingOptions, vocabSize: number, next: () => number) {
    this.#options = { ...samplingDefaults, ...options };
    this.#vocabSize = vocabSize;
    this.#next = next;
    this.#adjustments = new Adjustments(options, vocabSize);
    const isGreedy = options.temperature === 0 || options.topK === 1;
    this.#candidates = isGreedy ? undefined : new Candidates(vocabSize);
    this.#maxSurprise = 2 * (options.mirostat?.tau ?? 0);
  }

  read(ids: ArrayLike<number>): void {
    for (let i = 0; i < ids.length; i += 1) this.#adjustments.read(ids[i]!);
  }

  sample(logits: Float32Array): number {
    if (logits.length !== this.#vocabSize) {
      throw new ConfigError(`${logits.length} logits, and the vocabulary has ${this.#vocabSize} tokens`);
    }
    const scores = this.#adjustments.apply(logits);
    const best = argmax(scores);
    if (best < 0) throw scores === logits ? noLogits(logits.length) : nothingLeft(logits.length);
    const candidates = this.#candidates;
    if (candidates === undefined) return best;
    candidates.fill(scores, scores[best]!, this.#options.temperature);
    return this.#options.mirostat === undefined ? this.#draw(candidates) : this.#drawByMirostat(candidates);
  }

  accept(id: number): void {
    this.#adjustments.accept(id);
    const { mirostat } = this.#options;
    if (mirostat === undefined || id !== this.#drawn.id) return;
    this.#maxSurprise -= mirostat.eta * (this.#drawn.surprise - mirostat.tau);
    this.#drawn = nothing;
  }

  #draw(candidates: Candidates): number {
    const { topK, typicalP, topP, minP, temperature } = this.#options;
    if (topK === 0 && typicalP === 1 && topP === 1 && minP === 0) return candidates.atById(this.#next());
    if (topK > 0) candidates.keepCount(topK);
    // Meister et al. 2022: nearest to the entropy. With log p = x - log Z it is log Z - E[x], so the distance
    // of a token's surprise from it is |x - E[x]|, that of its logit from the mean logit.
    if (typicalP < 1) candidates.keepMassAround(candidates.mean(), typicalP);
    if (topP < 1) candidates.keepMass(topP);
    // p >= minP · p_max as logits; the filter before may have dropped the largest.
    if (minP > 0) candidates.keepWithin(candidates.nearest() - temperature * Math.log(minP));
    return candidates.at(this.#next());
  }

  /**
   * Mirostat 2 (Basu et al. 2020, without the estimate of s): tokens of more surprise than μ are dropped, and μ
   * follows the error of the surprise of what is drawn. That surprise is measured after dropping, as llama.cpp does.
   */
  #drawByMirostat(candidates: Candidates): number {
    // -log2(p) <= μ as a distance of logits; the most probable token is kept in any case.
    const octaves = this.#maxSurprise - Math.log2(candidates.total);
    candidates.keepWithin(Math.max(0, octaves * Math.LN2 * this.#options.temperature));
    const id = candidates.at(this.#next());
    this.#drawn = { id, surprise: Math.log2(candidates.total / candidates.massOf(id)) };
    return id;
  }
}

function nothingLeft(vocabSize: number): ConfigError {
  return new ConfigError(`biases, bans and the constraint leave none of ${vocabSize} tokens`, {
    mend: "Allow at least one, the end of the text for instance.",
  });
}
