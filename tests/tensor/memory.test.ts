/** When native memory may be touched: after it is taken, until it is freed, and not while a run still needs it. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { liveArenas } from "../../src/engine/library.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { openFileStorage } from "../../src/tensor/file-storage.ts";
import { Graph } from "../../src/tensor/graph.ts";
import { matmul } from "../../src/tensor/matmul.ts";
import { add, mul, reshape, scale, slice } from "../../src/tensor/ops.ts";
import { createStorage } from "../../src/tensor/storage.ts";

const size = 768;

describe("before a graph is allocated", () => {
  test("its inputs have no memory to write to or read from", () => {
    using backend = openBackend({ threads: 1 });
    using g = new Graph("early", backend);
    const x = g.input([2]);
    const y = g.output(add(g, x, x));
    const view = slice(g, x, 1, 1);
    for (const access of [
      () => x.write(new Float32Array(2)),
      () => x.writeBytes(new Uint8Array(4)),
      () => x.read(),
      () => x.clear(),
      () => y.read(),
      () => view.read(),
    ])
      expect(access).toThrow(/^(read|write): tensor \[[12]\] has no memory yet$/);
  });

  test("it does not run", async () => {
    using backend = openBackend({ threads: 1 });
    using g = new Graph("early", backend);
    await expect(g.compute()).rejects.toThrow('graph "early" runs before it is allocated');
  });

  test("after it did not fit into memory, it does not run either", async () => {
    using backend = openBackend({ threads: 1 });
    using g = new Graph("huge", backend);
    const x = g.input([2 ** 21, 1]);
    // 2^42 numbers of 4 bytes.
    g.output(matmul(g, x, x));
    expect(() => g.allocate()).toThrow(/^graph "huge" needs 16777216 MiB, \d+ MiB are free$/);
    await expect(g.compute()).rejects.toThrow('graph "huge" runs before it is allocated');
  });
});

describe("after a graph is allocated", () => {
  test("nothing is added to it, for that would have no memory", () => {
    using backend = openBackend({ threads: 1 });
    using g = new Graph("built", backend);
    const x = g.input([2]);
    g.output(add(g, x, x));
    g.allocate();
    const late = mul(g, x, x);
    for (const build of [() => g.output(late), () => g.input([2]), () => g.allocate()])
      expect(build).toThrow('graph "built" is allocated: nothing can be added to it');
    expect(() => late.read()).toThrow("read: tensor [2] has no memory yet");
  });

  test("it computes anew with each upload, and forgets nothing that is uploaded once", async () => {
    using backend = openBackend({ threads: 1 });
    using g = new Graph("twice", backend);
    const [x, y] = [g.input([2]), g.input([2])];
    const z = g.output(add(g, x, y));
    g.allocate();
    // What was never written is zero.
    await g.compute();
    expect(z.read()).toEqual(Float32Array.of(0, 0));
    x.write(Float32Array.of(1, 2));
    y.write(Float32Array.of(10, 20));
    await g.compute();
    expect(z.read()).toEqual(Float32Array.of(11, 22));
    y.write(Float32Array.of(0, 1));
    await g.compute();
    expect(z.read()).toEqual(Float32Array.of(1, 3));
  });

  test("a run that was aborted beforehand does not begin", async () => {
    using backend = openBackend({ threads: 1 });
    using g = new Graph("aborted", backend);
    const x = g.constant(Float32Array.of(1), [1]);
    const y = g.output(scale(g, x, 3));
    g.allocate();
    await expect(g.compute(AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
    await g.compute();
    expect(y.readF32()).toEqual(Float32Array.of(3));
  });
});

describe("what is freed while it is computed with", () => {
  /** Long enough that disposal comes in the middle of it. */
  function busy(backend: ReturnType<typeof openBackend>, w: ReturnType<Graph["input"]>): Graph {
    const g = new Graph("busy", backend);
    let x = w;
    for (let i = 0; i < 4; i += 1) x = matmul(g, x, w);
    g.output(x);
    g.allocate();
    return g;
  }

  test("lives until the run is done: graph, weights and backend", async () => {
    const backend = openBackend({ threads: 2 });
    const weights = createStorage("busy weights", backend, { w: { shape: [size, size] } });
    const { w } = weights.tensors;
    const graph = busy(backend, w);
    const runs = [graph.compute(), graph.compute(), graph.compute()];
    let isDone = false;
    void Promise.all(runs).then(() => (isDone = true));
    graph[Symbol.dispose]();
    weights[Symbol.dispose]();
    backend[Symbol.dispose]();
    // For us it is gone at once.
    expect(() => w.ptr).toThrow('tensor [768, 768] lies in arena "busy weights", which was freed');
    await expect(graph.compute()).rejects.toThrow('graph "busy" runs before it is allocated');
    expect(isDone).toBe(false);
    expect(liveArenas().toSorted()).toEqual(["backend CPU", "busy", "busy inputs", "busy weights"]);
    await Promise.all(runs);
    await new Promise((done) => setImmediate(done));
    expect(liveArenas()).toEqual([]);
  });

  test("and a file that is mapped", async () => {
    const folder = mkdtempSync(join(tmpdir(), "cria-mapped-"));
    const file = join(folder, "w.bin");
    writeFileSync(file, new Float32Array(size * size).fill(0.5));
    try {
      const backend = openBackend({ threads: 2 });
      const spec = { shape: [size, size], file, offset: 0, bytes: 4 * size * size };
      const weights = openFileStorage("mapped", backend, { w: spec });
      const graph = busy(backend, weights.tensors["w"]!);
      const run = graph.compute();
      weights[Symbol.dispose]();
      graph[Symbol.dispose]();
      backend[Symbol.dispose]();
      await run;
      await new Promise((done) => setImmediate(done));
      expect(liveArenas()).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("a backend that is freed computes no more, and its tensors can still be read", async () => {
    const backend = openBackend({ threads: 1 });
    using g = new Graph("orphan", backend);
    const x = g.constant(Float32Array.of(1, 2), [2]);
    g.output(add(g, x, x));
    g.allocate();
    backend[Symbol.dispose]();
    await expect(g.compute()).rejects.toThrow("backend CPU was freed");
    expect(x.read()).toEqual(Float32Array.of(1, 2));
    expect(() => new Graph("later", backend)).toThrow("backend CPU was freed");
  });
});

describe("indices", () => {
  test("are never written unchecked, not even as bytes", () => {
    using backend = openBackend({ threads: 1 });
    using g = new Graph("indices", backend);
    const ids = g.input([2], { dtype: "i32", limit: 5 });
    g.output(scale(g, g.input([1]), 1));
    g.allocate();
    expect(() => ids.writeBytes(new Uint8Array(8))).toThrow(
      "write: indices are written as numbers, which are checked",
    );
  });

  test("keep their limit in slices and other shapes", () => {
    using backend = openBackend({ threads: 1 });
    using g = new Graph("views", backend);
    const ids = g.input([4], { dtype: "i32", limit: 5 });
    expect(slice(g, ids, 1, 2).limit).toBe(5);
    expect(reshape(g, ids, [2, 2]).limit).toBe(5);
  });
});
