import { expect, test } from "vitest";
import { Arena } from "../../src/engine/arena.ts";
import { listDevices, openBackend } from "../../src/engine/backend.ts";
import { engineLibrary, engineVersion, liveArenas } from "../../src/engine/library.ts";
import { Graph } from "../../src/tensor/graph.ts";
import { matmul } from "../../src/tensor/matmul.ts";
import packageJson from "../../package.json" with { type: "json" };

test("the version that the prototypes were written against is the one that is pinned", () => {
  expect(new Set(Object.values(packageJson.optionalDependencies))).toEqual(new Set([engineVersion]));
});

test("the engine is ggml, and offers at least the CPU", () => {
  expect(engineLibrary().ggml.version()).toMatch(/^0\.\d+\.\d+/);
  expect(listDevices().map(({ kind }) => kind)).toContain("cpu");
});

test("a device that is not there is refused with those that are", () => {
  expect(() => openBackend({ device: "tpu" })).toThrow('there is no device "tpu"');
});

test.each([0, -1, 1.5, Number.NaN, 1e9])("%s threads are refused", (threads) => {
  expect(() => openBackend({ threads })).toThrow(`threads (${threads}) is not an integer from 1 to 512`);
});

test("what is alive is listed until it is disposed, and disposing twice is safe", () => {
  const backend = openBackend({ threads: 1 });
  const arena = new Arena("listed", backend, 4);
  expect(liveArenas()).toEqual(["backend CPU", "listed"]);
  arena[Symbol.dispose]();
  arena[Symbol.dispose]();
  backend[Symbol.dispose]();
  expect(liveArenas()).toEqual([]);
  expect(() => arena.ctx).toThrow('arena "listed" was freed');
  expect(() => backend.bufferType).toThrow("backend CPU was freed");
});

test("memory that the machine has not is refused before it is taken", () => {
  using backend = openBackend({ threads: 1 });
  using arena = new Arena("huge", backend, 1);
  arena.newTensor(0, [2 ** 20, 2 ** 20, 16, 1]);
  expect(() => arena.allocate()).toThrow(/^arena "huge" needs 67108864 MiB, \d+ MiB are free$/);
});

test("while a graph runs, the event loop is free", async () => {
  using backend = openBackend({ threads: 1 });
  using graph = new Graph("long", backend);
  const [x, w] = [graph.input([1024, 2048]), graph.input([2048, 2048])];
  graph.output(matmul(graph, x, w));
  graph.allocate();
  let turns = 0;
  const timer = setInterval(() => (turns += 1), 1);
  await graph.compute();
  clearInterval(timer);
  expect(turns).toBeGreaterThan(3);
});

test("two backends at once give the same product", async () => {
  const product = async (): Promise<Float32Array> => {
    using backend = openBackend({ threads: 1 });
    using graph = new Graph("product", backend);
    const x = graph.constant(
      Float32Array.from({ length: 64 * 64 }, (_, i) => Math.sin(i)),
      [64, 64],
    );
    const y = graph.output(matmul(graph, x, x));
    graph.allocate();
    await graph.compute();
    return y.readF32();
  };
  const [a, b] = await Promise.all([product(), product()]);
  expect(a).toEqual(b);
});
