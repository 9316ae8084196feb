/** What a stage trains for: how its loss is built over the final states, and how a micro-batch is uploaded. */

import type { LlamaWeights } from "../model/weights.ts";
import type { Graph } from "../tensor/graph.ts";
import type { Tensor } from "../tensor/tensor.ts";

export interface Objective<Batch> {
  /** The model's input. `[batch, seq]` */
  tokensOf(batch: Batch): Int32Array;
  /** What a micro-batch counts in the mean over the step's micro-batches: its tokens, or its pairs. */
  weightOf(batch: Batch): number;
  /** Builds the loss once for each shape of micro-batch; gradients follow from it where they are wanted. */
  build(g: Graph, pass: ObjectivePass): BuiltObjective<Batch>;
}

export interface ObjectivePass {
  readonly weights: LlamaWeights;
  /** Normalised states before the head. `[batch · seq, dim]` */
  readonly states: Tensor;
  /** Sequences in the micro-batch. */
  readonly batch: number;
  /** Tokens in each. */
  readonly seq: number;
}

export interface BuiltObjective<Batch> {
  /** The micro-batch's part of the mean: its sum, divided by the `total` that was written. [1] */
  readonly loss: Tensor;
  /**
   * Uploads what the loss needs beside the tokens.
   *
   * @param total the weights of all the step's micro-batches together.
   */
  readonly write: (batch: Batch, total: number) => void;
  /** Values that are read after each run, by name. f32 */
  readonly outputs?: Readonly<Record<string, Tensor>>;
}

/** What was read of a micro-batch's outputs, by name. */
export type Outputs = Readonly<Record<string, Float32Array>>;
