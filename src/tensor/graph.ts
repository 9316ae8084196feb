/**
 * A computation: nodes built by the functions of `ops.ts`, run as often as wanted.
 *
 * Nodes run in the order in which `effect` and `output` put them in (with what they need before them). In-place
 * writes (`setRows`, accumulation, AdamW) rely on that order: ggml tracks no dependencies through memory.
 */

import { Arena, checkMemory } from "../engine/arena.ts";
import type { Backend, Lane } from "../engine/backend.ts";
import type { Pointer } from "../engine/ffi.ts";
import { EngineError } from "../errors/errors.ts";
import type { Elements } from "./dtype.ts";
import type { Shape } from "./shape.ts";
import { newTensor, Tensor, type TensorOptions } from "./tensor.ts";

/** Type of the operands of matrix products; sums are f32 in both. */
export type Precision = "bf16" | "f32";

/** How an op sends a gradient back to one of its inputs. */
export type GradientRule = readonly [input: Tensor, rule: (dy: Tensor) => Tensor];

export interface Operation {
  readonly output: Tensor;
  readonly rules: readonly GradientRule[];
}

export interface GraphOptions {
  /** Type of the operands of matrix products. */
  readonly precision?: Precision;
  /** How many nodes it can hold. */
  readonly capacity?: number;
  /** The part of the backend's threads that it runs on, beside graphs of the other lanes; all when left out. */
  readonly lane?: Lane;
}

export class Graph implements Disposable {
  readonly name: string;
  readonly backend: Backend;
  readonly precision: Precision;
  /** Operations on tensors that require gradients, in the order they were built. */
  readonly tape: Operation[] = [];
  /** Derived operands that several products share (casts, transposes), by what they are made from. */
  readonly derived = { cast: new Map<Tensor, Tensor>(), transposed: new Map<Tensor, Tensor>() };
  /** Where a permuted tensor's elements lie before they are laid out anew: a cast reads them there in one step. */
  readonly permutedFrom = new Map<Tensor, Pointer>();
  isRecording = true;
  readonly #inputs: Arena;
  readonly #nodes: Arena;
  readonly #graph: Pointer;
  readonly #lane: Lane | undefined;
  readonly #constants: [Tensor, Elements][] = [];
  #allocator: Pointer = 0;

  constructor(name: string, backend: Backend, options: GraphOptions = {}) {
    const { precision = "f32", capacity = 8192 } = options;
    this.name = name;
    this.backend = backend;
    this.precision = precision;
    this.#lane = options.lane;
    this.#nodes = new Arena(name, backend, capacity);
    // Inputs have a buffer of their own: the allocator would reuse their memory after their last reader.
    this.#inputs = new Arena(`${name} inputs`, backend, 64);
    this.#graph = backend.library.ggml.newGraphCustom(this.#nodes.ctx, capacity, false);
  }

  /** A value that is uploaded before the graph runs and kept between runs. */
  input(shape: Shape, options: TensorOptions = {}): Tensor {
    this.#refuseAllocated();
    return newTensor(this.#inputs, "input", shape, options);
  }

  /** An input whose value is known now; `allocate` uploads it. */
  constant(values: Elements, shape: Shape, options: TensorOptions = {}): Tensor {
    const tensor = this.input(shape, options);
    this.#constants.push([tensor, values]);
    return tensor;
  }

  /** The context for native nodes; `n` of them may follow. For ops only. */
  reserve(n = 1): Pointer {
    return this.#nodes.reserve(n);
  }

  /** Wraps a native node. For ops only. */
  node(ptr: Pointer, shape: Shape, options: TensorOptions = {}): Tensor {
    return new Tensor(this.#nodes, ptr, shape, options);
  }

  /** Wraps a native node that gradients flow through: the rules say how. For ops only. */
  differentiable(ptr: Pointer, shape: Shape, rules: readonly GradientRule[]): Tensor {
    const live = this.isRecording ? rules.filter(([input]) => input.requiresGrad) : [];
    const output = this.node(ptr, shape, { requiresGrad: live.length > 0 });
    if (live.length > 0) this.tape.push({ output, rules: live });
    return output;
  }

  /** Puts a node (and what it needs) next into the execution order. */
  effect(tensor: Tensor): Tensor {
    this.#refuseAllocated();
    this.backend.library.ggml.buildForwardExpand(this.#graph, tensor.ptr);
    return tensor;
  }

  /** The same, for a node whose value is read after the run. */
  output(tensor: Tensor): Tensor {
    this.backend.library.ggml.setOutput(tensor.ptr);
    return this.effect(tensor);
  }

  /** Bytes of the intermediate values, which share memory as far as their lives allow. */
  get computeBytes(): number {
    return this.#allocator === 0 ? 0 : this.backend.library.ggml.gallocrGetBufferSize(this.#allocator, 0);
  }

  get nodeCount(): number {
    return this.backend.library.ggml.graphNNodes(this.#graph);
  }

  /**
   * Takes the memory, once. Inputs may be written after this, and nothing be built on.
   *
   * @throws {EngineError} when an op has no kernel on this device or the memory does not suffice.
   */
  allocate(): this {
    this.#refuseAllocated();
    const { ggml } = this.backend.library;
    this.#inputs.allocate();
    for (const [tensor, values] of this.#constants) tensor.write(values);
    for (let i = 0; i < this.nodeCount; i += 1) {
      const node = ggml.graphNode(this.#graph, i);
      if (this.backend.supports(node)) continue;
      throw new EngineError(`${this.backend.device.name} has no kernel for ${ggml.opDesc(node)}`, {
        mend: "Use --device cpu.",
      });
    }
    const allocator = ggml.gallocrNew(this.backend.bufferType);
    try {
      this.#takeMemory(allocator);
    } catch (error) {
      ggml.gallocrFree(allocator);
      throw error;
    }
    this.#allocator = allocator;
    return this;
  }

  /**
   * Runs every node once, off the event loop.
   *
   * @throws the signal's reason, when it is aborted before the run starts; a run that started is finished.
   */
  async compute(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.#allocator === 0) throw new EngineError(`graph "${this.name}" runs before it is allocated`);
    void this.#nodes.ctx;
    await this.backend.compute(this.#graph, this.#lane);
  }

  /** Safe while it runs: the memory is freed when the run is done. */
  [Symbol.dispose](): void {
    const allocator = this.#allocator;
    this.#allocator = 0;
    if (allocator !== 0) this.backend.afterRuns(() => this.backend.library.ggml.gallocrFree(allocator));
    this.#nodes[Symbol.dispose]();
    this.#inputs[Symbol.dispose]();
  }

  #takeMemory(allocator: Pointer): void {
    const { ggml } = this.backend.library;
    // Planned first, and asked for when it is known to be there: a system that overcommits kills who takes too much.
    const bytes = new BigUint64Array(1);
    ggml.gallocrReserveNSize(allocator, this.#graph, 0, 0, bytes);
    checkMemory(`graph "${this.name}"`, Number(bytes[0]));
    if (ggml.gallocrReserve(allocator, this.#graph) && ggml.gallocrAllocGraph(allocator, this.#graph)) return;
    throw new EngineError(`no memory for the intermediate values of "${this.name}"`, {
      call: "ggml_gallocr_alloc_graph",
      mend: "Use a smaller batch or context.",
    });
  }

  /** A node that is added to a graph with memory would have none. */
  #refuseAllocated(): void {
    if (this.#allocator === 0) return;
    throw new EngineError(`graph "${this.name}" is allocated: nothing can be added to it`, {
      mend: "Build the whole graph first, and allocate it once.",
    });
  }
}
