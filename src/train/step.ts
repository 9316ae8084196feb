/**
 * One training step, for every stage: gradients of the weighted next-token loss over micro-batches, then AdamW.
 */

import type { Backend } from "../tensor/backend.ts";
import {
  createAdamW,
  createAdamWState,
  type AdamWOptions,
  type AdamWState,
  type Optimizer,
} from "../tensor/adamw.ts";
import { backward } from "../tensor/backward.ts";
import { Graph, type Precision } from "../tensor/graph.ts";
import { createTargets, crossEntropy, writeTargets, type Targets } from "../tensor/loss.ts";
import { addInto } from "../tensor/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { causalAttention, causalMask } from "../model/attention.ts";
import { finalStates } from "../model/llama.ts";
import type { LlamaWeights } from "../model/weights.ts";
import { ConfigError } from "../errors/errors.ts";

/** Sequences that are computed at once. */
export interface MicroBatch {
  /** `[batch, seq]` */
  readonly tokens: Int32Array;
  /** The token after each. `[batch, seq]` */
  readonly targets: Int32Array;
  /** What each target counts, 0 for none; all 1 when left out. `[batch, seq]` */
  readonly weights?: Float32Array;
}

export interface TrainerOptions extends AdamWOptions {
  /** Sequences in a micro-batch. */
  readonly batch: number;
  /** Tokens in a sequence. */
  readonly seq: number;
  readonly precision: Precision;
}

export interface StepResult {
  /** Weighted mean of the tokens' losses, in nats. */
  readonly loss: number;
  /** ‖g‖₂ before clipping. */
  readonly gradientNorm: number;
  /** Whether the loss or the gradient was not finite, so that nothing was changed. */
  readonly isSkipped: boolean;
}

export class Trainer implements Disposable {
  readonly state: AdamWState;
  readonly #options: TrainerOptions;
  readonly #optimizer: Optimizer;
  readonly #pass: LossPass;
  #evaluation: LossPass | undefined;
  readonly #weights: LlamaWeights;
  readonly #backend: Backend;

  /** The caller disposes it, before the weights. */
  constructor(backend: Backend, weights: LlamaWeights, options: TrainerOptions) {
    this.#backend = backend;
    this.#weights = weights;
    this.#options = options;
    this.state = createAdamWState(backend, weights.byName);
    try {
      this.#optimizer = createAdamW(backend, weights.byName, this.state, options);
    } catch (error) {
      this.state[Symbol.dispose]();
      throw error;
    }
    try {
      this.#pass = buildLossPass(backend, weights, { ...options, gradients: this.state.gradients });
    } catch (error) {
      this.#optimizer[Symbol.dispose]();
      this.state[Symbol.dispose]();
      throw error;
    }
  }

  /** Native memory beside the weights, in bytes. */
  get bytes(): number {
    return this.state.bytes + this.#pass.graph.computeBytes + (this.#evaluation?.graph.computeBytes ?? 0);
  }

  /**
   * Accumulates the gradients of some micro-batches and moves the weights: update `t`, from 1.
   * A loss or gradient that is not finite changes nothing.
   */
  async step(
    batches: readonly MicroBatch[],
    lr: number,
    t: number,
    signal?: AbortSignal,
  ): Promise<StepResult> {
    const { loss, norm } = await this.gradients(batches, signal);
    const isSkipped = !Number.isFinite(loss) || !Number.isFinite(norm);
    if (!isSkipped) await this.#optimizer.update(lr, t);
    return { loss, gradientNorm: norm, isSkipped };
  }

  /** The first half of a step: `state.gradients` of the mean loss, unclipped. */
  async gradients(
    batches: readonly MicroBatch[],
    signal?: AbortSignal,
  ): Promise<{ loss: number; norm: number }> {
    this.#optimizer.clearGradients();
    const loss = await runLoss(this.#pass, batches, this.#options, signal);
    return { loss, norm: await this.#optimizer.gradientNorm() };
  }

  /** Mean loss of micro-batches, in nats, without gradients. */
  async evaluate(batches: readonly MicroBatch[], signal?: AbortSignal): Promise<number> {
    this.#evaluation ??= buildLossPass(this.#backend, this.#weights, this.#options);
    return runLoss(this.#evaluation, batches, this.#options, signal);
  }

  [Symbol.dispose](): void {
    this.#evaluation?.graph[Symbol.dispose]();
    this.#pass.graph[Symbol.dispose]();
    this.#optimizer[Symbol.dispose]();
    this.state[Symbol.dispose]();
  }
}

// --- internal ---

interface LossPass {
  readonly graph: Graph;
  readonly tokens: Tensor;
  readonly targets: Targets;
  /** Sum over the micro-batches so far. [1] */
  readonly lossSum: Tensor;
}

interface LossPassOptions {
  readonly batch: number;
  readonly seq: number;
  readonly precision: Precision;
  /** Where gradients are accumulated, by the weight's name; none are computed without it. */
  readonly gradients?: Readonly<Record<string, Tensor>>;
}

function buildLossPass(backend: Backend, weights: LlamaWeights, options: LossPassOptions): LossPass {
  const { batch, seq, precision, gradients } = options;
  const { config } = weights;
  const graph = new Graph(gradients === undefined ? "loss" : "loss and gradients", backend, {
    precision,
    capacity: 1024 + 320 * config.nLayers,
  });
  try {
    graph.isRecording = gradients !== undefined;
    const tokens = graph.input([batch * seq], { dtype: "i32", limit: config.vocabSize });
    const positions = graph.constant(
      Int32Array.from({ length: seq }, (_, i) => i),
      [seq],
      { dtype: "i32" },
    );
    const mask = causalMask(graph, seq);
    const attend = (inputs: Parameters<typeof causalAttention>[1]): Tensor =>
      causalAttention(graph, inputs, mask);
    const x = finalStates(graph, weights, { batch, seq, tokens, positions, attend });
    const targets = createTargets(graph, batch * seq, config.vocabSize);
    const loss = crossEntropy(graph, { x, head: weights.head, targets });
    const lossSum = graph.input([1]);
    graph.effect(addInto(graph, lossSum, loss));
    if (gradients !== undefined) {
      const accumulators = new Map(
        Object.entries(weights.byName).map(([name, weight]) => [weight, gradients[name]!]),
      );
      backward(graph, loss, (leaf, gradient) => {
        graph.effect(addInto(graph, accumulators.get(leaf)!, gradient));
      });
    }
    graph.allocate();
    return { graph, tokens, targets, lossSum };
  } catch (error) {
    graph[Symbol.dispose]();
    throw error;
  }
}

async function runLoss(
  pass: LossPass,
  batches: readonly MicroBatch[],
  { batch, seq }: TrainerOptions,
  signal: AbortSignal | undefined,
): Promise<number> {
  const count = batch * seq;
  const counted = batches.reduce(
    (total, { weights }) => total + (weights?.reduce((a, b) => a + b, 0) ?? count),
    0,
  );
  if (counted === 0) throw new ConfigError("no token of the batch counts towards the loss");
  pass.lossSum.clear();
  for (const { tokens, targets, weights } of batches) {
    pass.tokens.write(tokens);
    // The mean over all micro-batches: each token's share is known beforehand, so sums just add up.
    const shares = weights?.map((weight) => weight / counted) ?? new Float32Array(count).fill(1 / counted);
    writeTargets(pass.targets, targets, shares);
    await pass.graph.compute(signal);
  }
  return pass.lossSum.readF32()[0]!;
}
