/** `cria doctor`: whether this machine can do the work, and how fast. */

import { statfsSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { parameterCount } from "../../model/config.ts";
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
    json: { type: "boolean", description: "One JSON object" },
  },
  examples: ["cria doctor", "cria doctor --threads 1 --json", "cria doctor --presets"],
  async run({ device, threads, presets: isPresets, json }, { stdout }) {
    const found = isPresets
      ? presetRows()
      : await examine(threads === undefined ? { device } : { device, threads });
    if (json)
      stdout.write(
        `${JSON.stringify(isPresets ? found : Object.fromEntries(found as [string, unknown][]))}\n`,
      );
    else
      stdout.write(
        table(
          found.map((row) => row.map(shown)),
          isPresets ? { right: [1, 2, 3, 4, 5] } : {},
        ),
      );
  },
});

// --- internal ---

type Value = string | number | readonly string[];

function shown(value: Value): string {
  return typeof value === "object" ? value.join(" ") : String(value);
}

async function examine(options: { device: string; threads?: number }): Promise<[string, Value][]> {
  const library = engineLibrary();
  using backend = openBackend(options);
  const size = { n: 512, m: 2048, k: 2048 };
  const gemm = async (dtype: "f32" | "f16" | "bf16"): Promise<string> =>
    `${(await measureGemm(backend, size, dtype)).toFixed(0)} GFLOP/s`;
  const disk = statfsSync(".");
  return [
    ["engine", `ggml ${library.ggml.version()} of ${library.packageName} ${engineVersion}`],
    ["devices", listDevices().map(({ name, description }) => `${name} (${description})`)],
    ["measured", backend.device.name],
    ["processor", cpus()[0]?.model ?? "unknown"],
    ["instructions", backend.features],
    ["threads", backend.threads],
    ["memory", `${formatBytes(totalmem())}, ${formatBytes(process.availableMemory())} free`],
    ["disk here", `${formatBytes(disk.bavail * disk.bsize)} free`],
    ["node", process.version],
    ["f32 products", await gemm("f32")],
    ["bf16 products", await gemm("bf16")],
    ["f16 products", await gemm("f16")],
    ["memory read", `${(await measureMemory(backend)).toFixed(1)} GB/s`],
  ];
}

function presetRows(): string[][] {
  const rows = Object.keys(presets).map((name) => {
    const config = presetConfig(name, 32_000);
    const { dim, nLayers, nHeads, nKvHeads, maxSeqLen } = config;
    return [
      name,
      formatCount(parameterCount(config)),
      `${dim}`,
      `${nLayers}`,
      `${nHeads}/${nKvHeads}`,
      `${maxSeqLen}`,
    ];
  });
  return [["preset", "parameters at 32000 pieces", "dim", "layers", "heads/kv", "context"], ...rows];
}
