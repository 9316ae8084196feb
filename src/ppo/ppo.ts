/**
 * Proximal policy optimisation (Llama 2 §3.2.3): the policy answers prompts, its answers are rewarded less a penalty
 * for leaving the policy that it began as, and it takes a gradient step for each mini-batch of them.
 *
 * Everything random follows from the seed and the iteration's number, and a run stops between iterations only: so it
 * goes on after its newest checkpoint bit for bit.
 */

import { join } from "node:path";
import { ConfigError, EngineError, FormatError } from "../errors/errors.ts";
import type { LlamaConfig } from "../model/config.ts";
import { readModelFiles } from "../model/load.ts";
import { latestCheckpoint, pruneCheckpoints, readRunState, saveCheckpoint } from "../train/checkpoint.ts";
import { checkRolloutSampling } from "./guards.ts";
import { learn, scoreRollouts } from "./iteration.ts";
import type { Updates } from "./learner.ts";
import { openModels, type Models } from "./models.ts";
import type { PpoInputs, PpoOptions } from "./options.ts";
import { encodePrompts, promptsOf, rollOut, seedOf, type EncodedPrompt } from "./rollout.ts";
import { scoresOf } from "./score.ts";
import { checkpointOf, progressAfter, type PpoState } from "./state.ts";

/**
 * @returns directory of the policy that was best on held-out prompts, or of the last.
 * @throws the signal's reason when aborted, after a checkpoint.
 */
export async function optimisePolicy(options: PpoOptions, inputs: PpoInputs): Promise<string> {
  checkRolloutSampling(options.sampling, options.temperature);
  const resumed = latestCheckpoint(inputs.folder);
  const state = resumed === undefined ? undefined : ppoState(resumed);
  if (resumed !== undefined && state !== undefined) {
    inputs.onEvent({ type: "resumed", step: state.step, checkpoint: resumed });
    // A process that was killed between writing a checkpoint and deleting the oldest left one too many.
    pruneCheckpoints(inputs.folder, options.keepCheckpoints);
    if (state.ended !== undefined) return finalPolicy(inputs, resumed);
  }
  const files = readModelFiles(inputs.model);
  const room = roomForPrompts(options, files.config);
  const prompts = encodePrompts(inputs.prompts, inputs.tokenizer, room);
  const heldOut = inputs.heldOut.length === 0 ? [] : encodePrompts(inputs.heldOut, inputs.tokenizer, room);
  using models = openModels(options, inputs, { files, prompts, resumed, updates: state?.updates });
  inputs.onEvent({
    type: "started",
    step: state?.step ?? 0,
    iterations: options.iterations,
    prompts: prompts.length,
    left: inputs.prompts.length - prompts.length,
  });
  return await new Run(options, inputs, { models, prompts, heldOut, state, resumed }).toEnd();
}

// --- internal ---

function roomForPrompts(
  { maxTokens }: Pick<PpoOptions, "maxTokens">,
  { maxSeqLen }: Pick<LlamaConfig, "maxSeqLen">,
): number {
  if (maxTokens < maxSeqLen) return maxSeqLen - maxTokens;
  throw new ConfigError(
    `max_tokens (${maxTokens}) leaves no room for a prompt in a context of ${maxSeqLen}`,
    {
      mend: `Set max_tokens to less than ${maxSeqLen}, by as much as the longest prompt needs.`,
    },
  );
}

interface RunParts {
  readonly models: Models;
  readonly prompts: readonly EncodedPrompt[];
  readonly heldOut: readonly EncodedPrompt[];
  readonly state: PpoState | undefined;
  readonly resumed: string | undefined;
}

/** So many iterations in a row with gradient steps that were not finite end a run. */
const mostSkips = 3;

class Run {
  readonly #options: PpoOptions;
  readonly #inputs: PpoInputs;
  readonly #parts: RunParts;
  #state: PpoState;
  /** The state that the newest checkpoint has. */
  #saved: PpoState | undefined;
  #skips = 0;

  constructor(options: PpoOptions, inputs: PpoInputs, parts: RunParts) {
    this.#options = options;
    this.#inputs = inputs;
    this.#parts = parts;
    this.#state = parts.state ?? { step: 0, updates: { policy: 0, value: 0 }, worse: 0 };
    this.#saved = parts.state;
  }

  async toEnd(): Promise<string> {
    const { onEvent, signal } = this.#inputs;
    try {
      for (;;) {
        if (this.#owesValidation()) await this.#validate();
        const { step } = this.#state;
        if (this.#state.ended === undefined && step === this.#options.iterations)
          this.#end("the iterations are done");
        if (this.#state.ended !== undefined) break;
        if (step > 0 && isDue(step, this.#options.checkpointEvery)) this.#save();
        signal?.throwIfAborted();
        await this.#iterate();
      }
    } catch (error) {
      if (signal?.aborted === true) this.#save();
      throw error;
    }
    onEvent({ type: "ended", step: this.#state.step, reason: this.#state.ended });
    return finalPolicy(this.#inputs, this.#save());
  }

  async #iterate(): Promise<void> {
    const { models, prompts } = this.#parts;
    const { batchSize, seed, maxKl } = this.#options;
    const { signal, reward } = this.#inputs;
    const { step } = this.#state;
    const start = performance.now();
    const asked = promptsOf(prompts, step, batchSize, seed);
    const seeds = asked.map((_, i) => seedOf(seed, "answers", step * batchSize + i));
    const rollouts = await this.#rollOut(asked, seeds);
    const rolled = performance.now();
    const iteration = { ...this.#options, ...models.layout, seed: seedOf(seed, "layout", step) };
    const scored = await scoreRollouts(rollouts, { ...models, reward }, iteration, signal);
    const measured = performance.now();
    if (step === 0) checkStart(scored.kl);
    if (scored.kl > maxKl) {
      this.#end(
        `the KL to the reference, ${scored.kl.toFixed(2)} nats an answer, is above max_kl (${maxKl})`,
      );
      return;
    }
    // From here to the end nothing interrupts: a run goes on from whole iterations.
    const result = await learn(scored, models.learner, iteration);
    this.#state = { ...this.#state, step: step + 1, updates: models.learner.updates };
    const seconds = {
      rollout: (rolled - start) / 1000,
      scoring: (measured - rolled) / 1000,
      update: (performance.now() - measured) / 1000,
    };
    this.#inputs.onEvent({ type: "iteration", step: step + 1, seconds, ...result });
    this.#skips = result.skipped === 0 ? 0 : this.#skips + 1;
    if (this.#skips === mostSkips) throw diverged(step + 1);
  }

  /** A held-out prompt has the same random numbers each time, so that only the policy makes the difference. */
  async #validate(): Promise<void> {
    const { heldOut } = this.#parts;
    const { step } = this.#state;
    const seeds = heldOut.map((_, i) => seedOf(this.#options.seed, "held out", i));
    const rollouts = await this.#rollOut(heldOut, seeds);
    const scores = await scoresOf(rollouts, this.#inputs.reward, this.#inputs.signal);
    const score = scores.reduce((a, b) => a + b, 0) / scores.length;
    const tokens = rollouts.reduce((sum, { answer }) => sum + answer.length, 0) / rollouts.length;
    this.#state = progressAfter(this.#state, score);
    const isBest = this.#state.best?.step === step;
    this.#inputs.onEvent({ type: "validation", step, score, tokens, isBest });
    if (isBest) this.#saveBest();
    const { patience } = this.#options;
    if (patience > 0 && this.#state.worse >= patience) {
      this.#end(`the held-out reward has not risen in ${patience} measurements`);
    }
  }

  #owesValidation(): boolean {
    const { step, validated, ended } = this.#state;
    if (this.#parts.heldOut.length === 0 || validated === step || ended !== undefined) return false;
    return step === 0 || step === this.#options.iterations || isDue(step, this.#options.validationEvery);
  }

  async #rollOut(prompts: readonly EncodedPrompt[], seeds: readonly number[]): ReturnType<typeof rollOut> {
    const { backend, tokenizer, signal } = this.#inputs;
    const source = { backend, tokenizer, weights: this.#parts.models.learner.policy };
    return rollOut(source, prompts, { ...this.#options, seeds }, signal);
  }

  #end(reason: string): void {
    this.#state = { ...this.#state, ended: reason };
  }

  #saveBest(): void {
    const { tokenizer, folder } = this.#inputs;
    const run = { stage: "ppo", step: this.#state.step, best: this.#state.best };
    saveCheckpoint(join(folder, bestFolder), { weights: this.#parts.models.learner.policy, tokenizer, run });
  }

  #save(): string {
    const { tokenizer, folder, onEvent } = this.#inputs;
    const { learner } = this.#parts.models;
    const { step } = this.#state;
    const checkpoint = checkpointOf(folder, step);
    if (this.#saved === this.#state) return checkpoint;
    saveCheckpoint(checkpoint, {
      weights: learner.policy,
      tokenizer,
      optimizer: learner.optimizer,
      run: { stage: "ppo", ...this.#state },
      beside: (directory) => learner.saveBeside(directory),
    });
    pruneCheckpoints(folder, this.#options.keepCheckpoints);
    this.#saved = this.#state;
    onEvent({ type: "checkpoint", step, checkpoint });
    return checkpoint;
  }
}

/** The policy with the best held-out reward so far. */
const bestFolder = "best";

function finalPolicy({ folder, heldOut }: PpoInputs, last: string): string {
  return heldOut.length === 0 ? last : join(folder, bestFolder);
}

function isDue(step: number, every: number): boolean {
  return every > 0 && step % every === 0;
}

function ppoState(checkpoint: string): PpoState {
  const { stage, ...state } = readRunState(checkpoint);
  if (stage === "ppo" && typeof (state["updates"] as Partial<Updates> | undefined)?.policy === "number")
    return state as unknown as PpoState;
  throw new FormatError("this is not the checkpoint of a PPO run", {
    file: join(checkpoint, "run.json"),
    mend: "Choose another --name.",
  });
}

/** The first rollouts are the reference's own: their KL is 0, to the bit on one device. */
function checkStart(kl: number): void {
  if (Math.abs(kl) < 1e-3) return;
  throw new EngineError(
    `the KL to the reference is ${kl} before the first update: the two are not one model`,
    {
      mend: "Delete the run's folder and start afresh; if it stays, use --set device=cpu.",
    },
  );
}

function diverged(step: number): EngineError {
  return new EngineError(
    `gradient steps were not finite in ${mostSkips} iterations in a row, up to iteration ${step}`,
    { mend: "Start again with a lower lr, or a lower value_lr." },
  );
}
