/**
 * Tensors that outlive graphs: weights, optimiser state, the KV cache.
 */

import { Arena } from "../engine/arena.ts";
import type { Backend } from "../engine/backend.ts";
import type { Shape } from "./shape.ts";
import { newTensor, type Tensor, type TensorOptions } from "./tensor.ts";

export interface TensorSpec extends TensorOptions {
  readonly shape: Shape;
}

export interface Storage<Name extends string = string> extends Disposable {
  readonly tensors: Readonly<Record<Name, Tensor>>;
  readonly bytes: number;
}

/**
 * Takes memory, all zero, for named tensors; the caller disposes it.
 *
 * @throws {EngineError} when the machine has not enough memory.
 */
export function createStorage<Name extends string>(
  name: string,
  backend: Backend,
  specs: Readonly<Record<Name, TensorSpec>>,
): Storage<Name> {
  const entries = Object.entries<TensorSpec>(specs);
  const arena = new Arena(name, backend, Math.max(1, entries.length));
  try {
    const tensors: Record<string, Tensor> = {};
    for (const [key, spec] of entries) {
      const tensor = newTensor(arena, key, spec.shape, spec);
      // AdamW's kernel takes only tensors that carry ggml's parameter flag.
      if (spec.requiresGrad === true) backend.library.ggml.setParam(tensor.ptr);
      tensors[key] = tensor;
    }
    arena.allocate();
    return {
      tensors: tensors as Record<Name, Tensor>,
      bytes: arena.allocatedBytes,
      [Symbol.dispose]: () => arena[Symbol.dispose](),
    };
  } catch (error) {
    arena[Symbol.dispose]();
    throw error;
  }
}
