/**
 * Tensors that outlive graphs: weights, optimiser state, the KV cache.
 */

import { Arena } from "../engine/arena.ts";
import type { Backend } from "../engine/backend.ts";
import { dtypes } from "./dtype.ts";
import { checkShape, extentsOf, type Shape } from "./shape.ts";
import { Tensor, type TensorOptions } from "./tensor.ts";

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
      checkShape(key, spec.shape);
      const ptr = arena.newTensor(dtypes[spec.dtype ?? "f32"].id, extentsOf(spec.shape));
      // AdamW's kernel takes only tensors that carry ggml's parameter flag.
      if (spec.requiresGrad === true) backend.library.ggml.setParam(ptr);
      tensors[key] = new Tensor(arena, ptr, spec.shape, spec);
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
