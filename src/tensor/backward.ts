/**
 * Reverse-mode differentiation over the graph's tape (Linnainmaa 1970): from the loss backwards, each operation's
 * rules turn the gradient of its output into gradients of its inputs. The rules stand beside the operations.
 */

import type { Graph } from "./graph.ts";
import { add } from "./ops.ts";
import { ConfigError } from "../errors/errors.ts";
import type { Tensor } from "./tensor.ts";

/**
 * Builds the nodes of dloss/dleaf for every leaf (a weight) that the loss depends on.
 *
 * @param loss       one number. [1]
 * @param onGradient called as soon as a contribution to a leaf's gradient is built, so that it can be put to use
 *                   before the memory of the rest is needed; a leaf used twice (a tied embedding) is called twice.
 */
export function backward(g: Graph, loss: Tensor, onGradient: (leaf: Tensor, gradient: Tensor) => void): void {
  if (loss.elements !== 1) throw new ConfigError("backward: the loss is not one number");
  if (!loss.requiresGrad)
    throw new ConfigError("backward: the loss depends on no tensor that requires a gradient");
  g.isRecording = false;
  const produced = new Set(g.tape.map((operation) => operation.output));
  const gradients = new Map<Tensor, Tensor>([[loss, g.constant(Float32Array.of(1), [1])]]);
  for (const { output, rules } of g.tape.toReversed()) {
    const dy = gradients.get(output);
    if (dy === undefined) continue;
    gradients.delete(output);
    for (const [input, rule] of rules) {
      const contribution = rule(dy);
      if (produced.has(input)) {
        const earlier = gradients.get(input);
        gradients.set(input, earlier === undefined ? contribution : add(g, earlier, contribution));
      } else {
        onGradient(input, contribution);
      }
    }
  }
  g.isRecording = true;
}
