import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

/**
 * Six shelves: `pure` loads no native library; `engine` does, each file in a process of its own; `serve` keeps
 * models open from test to test; `differential` compares with what others wrote; `end-to-end` runs the commands as a
 * user would, on one thread each, and `alone` on all.
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

const setupFiles = ["./tests/setup.ts"];
const globalSetup = "./tests/end-to-end/package.ts";

/** What these start computes on all processors, and threads that wait for each other suffer most from company. */
const alone = ["tests/end-to-end/chat.test.ts", "tests/end-to-end/speedrun.test.ts"];

export default defineConfig({
  test: {
    reporters: ["default", "./tests/reporter.ts"],
    testTimeout: 60_000,
    projects: [
      shelf("pure", { include: testsOf(pure) }),
      shelf("engine", { include: testsOf(engine), setupFiles }),
      shelf("serve", { include: testsOf(["serve"]), maxWorkers: 1 }),
      shelf("differential", { include: testsOf(["differential"]), setupFiles }),
      shelf("end-to-end", {
        include: testsOf(["end-to-end", "web"]),
        exclude: alone,
        globalSetup,
        testTimeout: 600_000,
      }),
      shelf("alone", { include: alone, globalSetup, maxWorkers: 1, testTimeout: 600_000 }),
    ],
  },
});

interface Shelf {
  readonly include: string[];
  readonly exclude?: string[];
  readonly setupFiles?: string[];
  readonly globalSetup?: string;
  readonly maxWorkers?: number;
  readonly testTimeout?: number;
}

function shelf(name: string, { maxWorkers = availableParallelism(), testTimeout = 60_000, ...files }: Shelf) {
  return {
    extends: true as const,
    test: { name, pool: "forks" as const, maxWorkers, testTimeout, ...files },
  };
}

function testsOf(folders: readonly string[]): string[] {
  return folders.map((folder) => `tests/${folder}/**/*.test.ts`);
}
