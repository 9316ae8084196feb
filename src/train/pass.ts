/** The graph of an objective for one shape of micro-batch: forward, and backward where gradients are wanted. */

import type { Backend, Lane } from "../tensor/backend.ts";
import { backward } from "../tensor/backward.ts";
import { Graph, type Precision } from "../tensor/graph.ts";
import { addInto } from "../tensor/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { causalAttention, causalMask } from "../model/attention.ts";
import { finalStates } from "../model/llama.ts";
import type { LlamaWeights } from "../model/weights.ts";
import type { Objective, Outputs } from "./objective.ts";

export interface PassOptions {
  readonly batch: number;
  readonly seq: number;
  readonly precision: Precision;
  /** Where gradients are accumulated, by the weight's name; none are computed without it. */
  readonly gradients?: Readonly<Record<string, Tensor>>;
  readonly lane?: Lane;
}

export interface PassRun {
  readonly loss: number;
  readonly outputs: Outputs;
}

export interface Pass<Batch> extends Disposable {
  readonly bytes: number;
  /** Runs a micro-batch; `total` is the weight of all the step's micro-batches. */
  run(batch: Batch, total: number, signal?: AbortSignal): Promise<PassRun>;
}

/** The caller disposes it, before the weights and the gradients. */
export function buildPass<Batch>(
  backend: Backend,
  weights: LlamaWeights,
  objective: Objective<Batch>,
  options: PassOptions,
): Pass<Batch> {
  const { batch, seq, precision, gradients, lane } = options;
  const { config } = weights;
  const graph = new Graph(gradients === undefined ? "loss" : "loss and gradients", backend, {
    precision,
    capacity: 1024 + 320 * config.nLayers,
    ...(lane === undefined ? {} : { lane }),
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
    const states = finalStates(graph, weights, {
      batch,
      seq,
      tokens,
      positions,
      attend,
      contextTokens: seq,
    });
    const { loss, write, outputs = {} } = objective.build(graph, { weights, states, batch, seq });
    for (const output of [...Object.values(outputs), loss]) graph.output(output);
    if (gradients !== undefined) {
      const accumulators = new Map(
        Object.entries(weights.byName).map(([name, weight]) => [weight, gradients[name]!]),
      );
      backward(graph, loss, (leaf, gradient) => {
        graph.effect(addInto(graph, accumulators.get(leaf)!, gradient));
      });
    }
    graph.allocate();
    return {
      bytes: graph.computeBytes,
      async run(micro, total, signal) {
        tokens.write(objective.tokensOf(micro));
        write(micro, total);
        await graph.compute(signal);
        const read = Object.entries(outputs).map(([name, output]) => [name, output.readF32()] as const);
        return { loss: loss.readF32()[0]!, outputs: Object.fromEntries(read) };
      },
      [Symbol.dispose]: () => graph[Symbol.dispose](),
    };
  } catch (error) {
    graph[Symbol.dispose]();
    throw error;
  }
}
