/** `cria doctor`: whether this machine can do the work, and how fast. */

import { statfsSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { parameterCount, type LlamaConfig } from "../../model/config.ts";
import { presetConfig, presets } from "../../model/presets.ts";
import { engineLibrary, engineVersion, listDevices, openBackend } from "../../tensor/backend.ts";
import { measureGemm, measureMemory } from "../../tensor/measure.ts";
import { defineCommand } from "../command.ts";
import { formatBytes, formatCount, table } from "../terminal.ts";

export const doctor = defineCommand({
  details:
    "Finds the engine, lists devices and instructions, and measures matrix products and memory for a few seconds.",
  args: {
    device: { type: "string", default: "auto", valueHint: "NAME", description: "The device to measure" },
    threads: {
      type: "string",
      as: "integer",
      min: 1,
      valueHint: "N",
      description: "CPU threads; all cores by default",
    },
    presets: { type: "boolean", description: "List the model presets instead" },
    json: { type: "boolean", description: "One JSON object, or a list of the presets" },
  },
  examples: ["cria doctor", "cria doctor --threads 1 --json", "cria doctor --presets"],
  async run({ device, threads, presets: isPresets, json }, { stdout }) {
    if (isPresets) {
      const shapes = presetShapes();
      stdout.write(json ? `${JSON.stringify(shapes)}\n` : presetTable(shapes));
      return;
    }
    const machine = await examine(threads === undefined ? { device } : { device, threads });
    stdout.write(json ? `${JSON.stringify(machine)}\n` : machineTable(machine));
  },
});

// --- internal ---

interface Machine {
  readonly engine: string;
  readonly devices: readonly string[];
  /** The device that was measured. */
  readonly measured: string;
  readonly processor: string;
  readonly instructions: readonly string[];
  readonly threads: number;
  readonly memoryBytes: number;
  readonly freeMemoryBytes: number;
  /** Of the disk that holds the working directory. */
  readonly freeDiskBytes: number;
  readonly node: string;
  /** GFLOP/s of a matrix product, by the type of its weights. */
  readonly gflops: Readonly<Record<"f32" | "bf16" | "f16", number>>;
  /** GB/s of weights read. */
  readonly memoryGBps: number;
}

async function examine(options: { device: string; threads?: number }): Promise<Machine> {
  const library = engineLibrary();
  using backend = openBackend(options);
  const size = { n: 512, m: 2048, k: 2048 };
  const gemm = async (dtype: "f32" | "f16" | "bf16"): Promise<number> =>
    rounded(await measureGemm(backend, size, dtype));
  const disk = statfsSync(".");
  return {
    engine: `ggml ${library.ggml.version()} of ${library.packageName} ${engineVersion}`,
    devices: listDevices().map(({ name, description }) => `${name} (${description})`),
    measured: backend.device.name,
    processor: cpus()[0]?.model ?? "unknown",
    instructions: backend.features,
    threads: backend.threads,
    memoryBytes: totalmem(),
    freeMemoryBytes: process.availableMemory(),
    freeDiskBytes: disk.bavail * disk.bsize,
    node: process.version,
    gflops: { f32: await gemm("f32"), bf16: await gemm("bf16"), f16: await gemm("f16") },
    memoryGBps: rounded(await measureMemory(backend)),
  };
}

/** To a tenth: what is measured varies by more. */
function rounded(value: number): number {
  return Math.round(10 * value) / 10;
}

function machineTable(machine: Machine): string {
  const { gflops } = machine;
  return table([
    ["engine", machine.engine],
    ["devices", machine.devices.join(", ")],
    ["measured", machine.measured],
    ["processor", machine.processor],
    ["instructions", machine.instructions.join(" ")],
    ["threads", String(machine.threads)],
    ["memory", `${formatBytes(machine.memoryBytes)}, ${formatBytes(machine.freeMemoryBytes)} free`],
    ["disk here", `${formatBytes(machine.freeDiskBytes)} free`],
    ["node", machine.node],
    ...(["f32", "bf16", "f16"] as const).map((type) => [
      `${type} products`,
      `${gflops[type].toFixed(0)} GFLOP/s`,
    ]),
    ["memory read", `${machine.memoryGBps.toFixed(1)} GB/s`],
  ]);
}

type PresetShape = Pick<LlamaConfig, "dim" | "nLayers" | "nHeads" | "nKvHeads" | "maxSeqLen"> & {
  readonly preset: string;
  /** With a vocabulary of 32 000 pieces. */
  readonly parameters: number;
};

function presetShapes(): PresetShape[] {
  return Object.keys(presets).map((preset) => {
    const config = presetConfig(preset, 32_000);
    const { dim, nLayers, nHeads, nKvHeads, maxSeqLen } = config;
    return { preset, parameters: parameterCount(config), dim, nLayers, nHeads, nKvHeads, maxSeqLen };
  });
}

function presetTable(shapes: readonly PresetShape[]): string {
  const head = ["preset", "parameters at 32000 pieces", "dim", "layers", "heads/kv", "context"];
  const rows = shapes.map(({ preset, parameters, dim, nLayers, nHeads, nKvHeads, maxSeqLen }) => [
    preset,
    formatCount(parameters),
    String(dim),
    String(nLayers),
    `${nHeads}/${nKvHeads}`,
    String(maxSeqLen),
  ]);
  return table([head, ...rows], { right: [1, 2, 3, 4, 5] });
}
