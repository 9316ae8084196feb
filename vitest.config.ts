import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

/**
 * Five shelves: `pure` loads no native library; `engine` does, each file in a process of its own; `serve` keeps
 * models open from test to test; `differential` compares with what others wrote; `end-to-end` runs the commands as a user would.
 */
const pure = [
  "errors",
  "formats",
  "tokenizer",
  "dialog",
  "corpus",
  "oracle",
  "preference",
  "cli",
  "architecture",
];
const engine = [
  "engine",
  "tensor",
  "model",
  "generate",
  "gradient",
  "train",
  "pretrain",
  "sft",
  "gatt",
  "reward",
  "rejection",
  "ppo",
  "rlhf",
  "evaluate",
];

export default defineConfig({
  test: {
    reporters: ["default", "./tests/reporter.ts"],
    testTimeout: 60_000,
    projects: [
      shelf("pure", pure, []),
      shelf("engine", engine, ["./tests/setup.ts"]),
      shelf("serve", ["serve"], []),
      shelf("differential", ["differential"], ["./tests/setup.ts"]),
      shelf("end-to-end", ["end-to-end", "web"], []),
    ],
  },
});

function shelf(name: string, folders: readonly string[], setupFiles: string[]) {
  // What these start computes on all processors, and threads that wait for each other suffer most from company.
  const isAlone = name === "serve" || name === "end-to-end";
  return {
    extends: true as const,
    test: {
      name,
      include: folders.map((folder) => `tests/${folder}/**/*.test.ts`),
      setupFiles,
      pool: "forks" as const,
      maxWorkers: isAlone ? 1 : availableParallelism(),
      testTimeout: name === "end-to-end" ? 600_000 : 60_000,
    },
  };
}
