/**
 * A device that computes graphs: the CPU, or a GPU when its package is installed.
 *
 * Computation runs on a thread of libuv's pool, so the event loop stays free. What computes has one work buffer, so
 * computations queue up; lanes, which share the threads out between them, have one each and run side by side.
 */

import { availableParallelism, cpus } from "node:os";
import { ConfigError, EngineError, UseAfterFreeError } from "../errors/errors.ts";
import { callAddress, readPointer, readString, type Pointer } from "./ffi.ts";
import { engineLibrary, type EngineLibrary } from "./library.ts";

export interface DeviceDescription {
  readonly name: string;
  readonly description: string;
  readonly kind: "cpu" | "gpu";
}

export interface BackendOptions {
  /** `cpu`, `auto` (a GPU when there is one), or a device's name. */
  readonly device?: string;
  /** Threads of the CPU backend. */
  readonly threads?: number;
}

/** A part of a backend's threads, with which a graph runs beside those of the other lanes. CPU only. */
export interface Lane {
  /** From 0. */
  readonly index: number;
  /** How many lanes share the threads. */
  readonly of: number;
}

export class Backend implements Disposable {
  readonly device: DeviceDescription;
  readonly threads: number;
  readonly library: EngineLibrary;
  /** Whether tensors lie in the process's own memory, so that files can be mapped and used in place. */
  readonly isHost: boolean;
  /** What the device's kernels use, such as AVX2 or AVX512_BF16. */
  readonly features: readonly string[];
  /** Memory in which the device lays weights out anew for its products; see packing.ts. */
  readonly packedBufferTypes: readonly Pointer[];
  #ptr: Pointer | undefined;
  readonly #device: Device;
  readonly #bufferType: Pointer;
  /** What computes: the whole backend, and the lanes that were used, each with its queue. */
  readonly #runners = new Map<string, Runner>();
  /** Computations that are queued or under way. */
  #running = 0;

  constructor(device: Device, threads: number) {
    this.library = engineLibrary();
    const { ggml } = this.library;
    const runner = startRunner(device, threads);
    const { ptr } = runner;
    this.#device = device;
    this.#runners.set(whole, runner);
    this.device = { name: device.name, description: device.description, kind: device.kind };
    this.threads = threads;
    this.#ptr = ptr;
    this.#bufferType = ggml.backendDefaultBufferType(ptr);
    this.isHost = ggml.buftIsHost(this.#bufferType);
    const registry = ggml.devBackendReg(device.ptr);
    this.features = readFeatures(ggml.regGetProcAddress(registry, "ggml_backend_get_features"), registry);
    const getExtra = ggml.regGetProcAddress(registry, "ggml_backend_dev_get_extra_bufts");
    this.packedBufferTypes = readBufferTypes(getExtra, device.ptr);
    this.library.live.add(this);
  }

  get name(): string {
    return `backend ${this.device.name}`;
  }

  get bufferType(): Pointer {
    this.#alive();
    return this.#bufferType;
  }

  /** Whether the device has a kernel for this node. */
  supports(node: Pointer): boolean {
    return this.library.ggml.backendSupportsOp(this.#alive(), node);
  }

  /** Runs a graph whose memory is allocated. That memory lives until it settles, if it is freed by `afterRuns`. */
  compute(graph: Pointer, lane?: Lane): Promise<void> {
    this.#alive();
    const runner = this.#runner(lane);
    this.#running += 1;
    const run = runner.queue
      .then(() => this.#computeNow(runner.ptr, graph))
      .finally(() => {
        this.#running -= 1;
      });
    runner.queue = run.catch(() => {});
    return run;
  }

  /** Frees native memory when no computation can touch it any more: at once, unless one is under way. */
  afterRuns(free: () => void): void {
    if (this.#running === 0) free();
    else void Promise.all([...this.#runners.values()].map(({ queue }) => queue)).then(free);
  }

  [Symbol.dispose](): void {
    if (this.#ptr === undefined) return;
    this.#ptr = undefined;
    this.afterRuns(() => {
      for (const { ptr } of this.#runners.values()) this.library.ggml.backendFree(ptr);
      this.library.live.delete(this);
    });
  }

  #runner(lane: Lane | undefined): Runner {
    const hasLanes = lane !== undefined && lane.of > 1 && this.device.kind === "cpu";
    const key = hasLanes ? `${lane.index} of ${lane.of}` : whole;
    let runner = this.#runners.get(key);
    if (runner === undefined) {
      runner = startRunner(this.#device, Math.max(1, Math.floor(this.threads / lane!.of)));
      this.#runners.set(key, runner);
    }
    return runner;
  }

  #computeNow(ptr: Pointer, graph: Pointer): Promise<void> {
    return new Promise((resolve, reject) => {
      this.library.ggml.graphCompute.async(ptr, graph, (error, status) => {
        if (error === null && status === 0) resolve();
        else
          reject(new EngineError(`status ${status}`, { call: "ggml_backend_graph_compute", cause: error }));
      });
    });
  }

  #alive(): Pointer {
    if (this.#ptr !== undefined) return this.#ptr;
    throw new UseAfterFreeError(`${this.name} was freed`, {
      mend: "Keep it open with `using` for as long as its tensors are read.",
    });
  }
}

/** The devices that the installed packages offer. */
export function listDevices(): DeviceDescription[] {
  return devices().map(({ name, description, kind }) => ({ name, description, kind }));
}

/**
 * Opens a device; the caller disposes it.
 *
 * @throws {ConfigError} when there is no such device or the thread count is not a positive integer.
 */
export function openBackend(options: BackendOptions = {}): Backend {
  const { device: wanted = "cpu", threads = defaultThreads() } = options;
  if (!Number.isInteger(threads) || threads < 1 || threads > 512) {
    throw new ConfigError(`threads (${threads}) is not an integer from 1 to 512`, {
      mend: `Leave it out to use ${defaultThreads()}, the processors of this machine.`,
    });
  }
  return new Backend(findDevice(wanted), threads);
}

// --- internal ---

interface Device extends DeviceDescription {
  readonly ptr: Pointer;
}

/** ggml_backend_dev_type. */
const kinds: Readonly<Record<number, "cpu" | "gpu">> = { 0: "cpu", 1: "gpu", 2: "gpu" };

function devices(): Device[] {
  const { ggml } = engineLibrary();
  return Array.from({ length: ggml.devCount() }, (_, i) => ggml.devGet(i)).flatMap((ptr) => {
    const kind = kinds[ggml.devType(ptr)];
    if (kind === undefined) return [];
    return [{ ptr, kind, name: ggml.devName(ptr), description: ggml.devDescription(ptr) }];
  });
}

/** A native backend with threads and a work buffer of its own. */
interface Runner {
  readonly ptr: Pointer;
  queue: Promise<unknown>;
}

const whole = "whole";

function startRunner(device: Device, threads: number): Runner {
  const { ggml } = engineLibrary();
  const ptr = ggml.devInit(device.ptr, 0);
  if (ptr === 0) {
    throw new EngineError(`the device ${device.name} does not start`, {
      call: "ggml_backend_dev_init",
      mend: "Choose another device with --device; `cria doctor` lists them.",
    });
  }
  const registry = ggml.devBackendReg(device.ptr);
  const setThreads = ggml.regGetProcAddress(registry, "ggml_backend_set_n_threads");
  if (setThreads !== 0) callAddress(setThreads, "void set_n_threads(ptr backend, int n)", ptr, threads);
  return { ptr, queue: Promise.resolve() };
}

function findDevice(wanted: string): Device {
  const all = devices();
  const gpu = all.find((device) => device.kind === "gpu");
  const cpu = all.find((device) => device.kind === "cpu");
  const named = all.find((device) => device.name.toLowerCase() === wanted.toLowerCase());
  const found = wanted === "auto" ? (gpu ?? cpu) : wanted === "cpu" ? cpu : named;
  if (found !== undefined) return found;
  throw new ConfigError(`there is no device "${wanted}"`, {
    mend: `Choose one of: cpu, auto${all.map((device) => `, ${device.name}`).join("")}.`,
  });
}

function defaultThreads(): number {
  return Math.max(1, Math.min(availableParallelism(), cpus().length));
}

/** Reads ggml's list of buffer types, which ends with NULL. */
function readBufferTypes(getExtra: Pointer, device: Pointer): Pointer[] {
  if (getExtra === 0) return [];
  const list = callAddress<Pointer>(getExtra, "ptr get_extra_bufts(ptr device)", device);
  if (list === 0) return [];
  const types: Pointer[] = [];
  for (let i = 0; readPointer(list, i) !== 0; i += 1) types.push(readPointer(list, i));
  return types;
}

/** Reads ggml's list of { name, value } pairs of C strings, which ends with a NULL name. */
function readFeatures(getFeatures: Pointer, registry: Pointer): string[] {
  if (getFeatures === 0) return [];
  const list = callAddress<Pointer>(getFeatures, "ptr get_features(ptr registry)", registry);
  const names: string[] = [];
  for (let i = 0; readPointer(list, i) !== 0; i += 2) {
    if (readString(readPointer(list, i + 1)) !== "0") names.push(readString(readPointer(list, i)));
  }
  return names;
}
