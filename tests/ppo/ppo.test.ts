/** PPO on a task whose best reward is known: it learns it, begins where it should, and goes on bit for bit. */

import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { writeHuggingFaceWeights } from "../../src/model/save.ts";
import type { PpoEvent, PpoInputs, PpoOptions } from "../../src/ppo/options.ts";
import { optimisePolicy } from "../../src/ppo/ppo.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { loadCheckpointWeights } from "../../src/train/checkpoint.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { toyHeldOut, toyOptimum, toyPpo, toyPrompts, toyReward, writeToyModel } from "../toy-task.ts";

const options: PpoOptions = {
  ...toyPpo,
  iterations: 4,
  batchSize: 16,
  miniBatchSize: 8,
  microBatchSize: 4,
  maxSequences: 16,
  value: "separate",
  seed: 3,
  validationEvery: 2,
  checkpointEvery: 1,
  keepCheckpoints: 2,
  weightDecay: 0.1,
};

let folder: string;
let tokenizer: Tokenizer;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "cria-ppo-"));
  using backend = openBackend({ threads: 1 });
  tokenizer = writeToyModel(join(folder, "model"), backend, 1);
});
afterEach(() => rmSync(folder, { recursive: true }));

interface Ran {
  /** Undefined when it was stopped. */
  readonly model: string | undefined;
  readonly events: readonly PpoEvent[];
}

async function run(
  name: string,
  changes: Partial<PpoOptions> = {},
  inputs: Partial<PpoInputs> & { stop?: (event: PpoEvent) => boolean } = {},
): Promise<Ran> {
  const place = join(folder, name);
  mkdirSync(place, { recursive: true });
  using backend = openBackend({ threads: 1 });
  const events: PpoEvent[] = [];
  const controller = new AbortController();
  try {
    const model = await optimisePolicy(
      { ...options, ...changes },
      {
        backend,
        model: join(folder, "model"),
        tokenizer,
        prompts: toyPrompts,
        heldOut: toyHeldOut,
        reward: (answers) => Promise.resolve(Float64Array.from(answers, toyReward)),
        folder: place,
        signal: controller.signal,
        onEvent(event) {
          events.push(event);
          if (inputs.stop?.(event) === true) controller.abort(new Error("Ctrl-C"));
        },
        ...inputs,
      },
    );
    return { model, events };
  } catch (error) {
    if (error instanceof Error && error.message === "Ctrl-C") return { model: undefined, events };
    throw error;
  }
}

function metricsOf({ events }: Ran, key: string): number[] {
  return events.flatMap((event) => (event.type === "iteration" ? [event.metrics[key]!] : []));
}

function isSame(a: string, b: string, name: string): boolean {
  return readFileSync(join(a, name)).equals(readFileSync(join(b, name)));
}

test("the policy reaches nine tenths of the best reward", async () => {
  const changes = {
    value: "shared",
    iterations: 20,
    batchSize: 64,
    miniBatchSize: 16,
    microBatchSize: 16,
  } as const;
  const ran = await run("learns", { ...changes, checkpointEvery: 0, validationEvery: 0, maxSequences: 64 });
  expect(metricsOf(ran, "objective/scores")[0]).toBeLessThan(0.3);
  expect(metricsOf(ran, "objective/scores").at(-1)).toBeGreaterThan(0.9 * toyOptimum);
});

describe.each(["separate", "shared"] as const)("with a %s value function", (value) => {
  test("the first iteration begins at the reference: KL and ratio are exact", async () => {
    const ran = await run("begins", { value, iterations: 2, miniBatchSize: 16 });
    expect(metricsOf(ran, "objective/kl")[0]).toBe(0);
    expect(metricsOf(ran, "objective/kl_k3")[0]).toBe(0);
    // One mini-batch: the only update of an iteration is its first.
    expect(metricsOf(ran, "val/ratio")).toEqual([1, 1]);
    expect(metricsOf(ran, "val/ratio_var")).toEqual([0, 0]);
    expect(metricsOf(ran, "policy/clipfrac_avg")).toEqual([0, 0]);
    expect(metricsOf(ran, "policy/approxkl_avg")).toEqual([0, 0]);
    expect(metricsOf(ran, "objective/kl_k3")[1]).toBeGreaterThan(0);
  });

  test.each(["iteration", "validation", "checkpoint"] as const)(
    "stopped at its second %s and started again, it ends with the bytes of a run that was not",
    async (type) => {
      const reference = await run("reference", { value });
      let seen = 0;
      const stop = (event: PpoEvent): boolean => event.type === type && (seen += 1) === 2;
      const stopped = await run("resumed", { value }, { stop });
      expect(stopped.model).toBeUndefined();
      const resumed = await run("resumed", { value });
      expect(resumed.events[0]).toMatchObject({ type: "resumed" });
      const both = { model: resumed.model, events: [...stopped.events, ...resumed.events] };
      for (const key of ["objective/scores", "objective/kl", "loss/value_avg"])
        expect(metricsOf(both, key)).toEqual(metricsOf(reference, key));
      const places = ["reference", "resumed"].map((name) => join(folder, name, "step-00000004"));
      const parts =
        value === "separate"
          ? ["value/model.safetensors", "value/training-state.safetensors"]
          : ["value-head.safetensors"];
      for (const name of ["model.safetensors", "training-state.safetensors", "run.json", ...parts])
        expect(isSame(places[0]!, places[1]!, name), name).toBe(true);
      expect(isSame(resumed.model!, reference.model!, "model.safetensors")).toBe(true);
    },
    30_000,
  );
});

test("micro-batches in lanes and in bf16 begin with a ratio of exactly 1 too", async () => {
  const ran = await run("lanes", { lanes: 2, precision: "bf16", iterations: 2, miniBatchSize: 16 });
  expect(metricsOf(ran, "val/ratio")).toEqual([1, 1]);
  expect(metricsOf(ran, "objective/kl")[0]).toBe(0);
});

test.each(["bf16", "f32"] as const)(
  "a model whose file is bf16 begins with a KL of exactly 0, in products of %s",
  async (precision) => {
    const stored = join(folder, "model", "model.safetensors");
    {
      using backend = openBackend({ threads: 1 });
      using weights = loadCheckpointWeights(backend, join(folder, "model"));
      writeHuggingFaceWeights(stored, weights, "bf16");
    }
    const ran = await run("rounded", { precision, iterations: 1 });
    expect(metricsOf(ran, "objective/kl")).toEqual([0]);
    expect(metricsOf(ran, "objective/kl_k3")).toEqual([0]);
  },
);

test("the result is the policy that was best on held-out prompts, not the last", async () => {
  // Each call is worse than the one before: the first measurement, of the reference, stays the best.
  let calls = 0;
  const reward: PpoInputs["reward"] = (answers) => {
    calls += 1;
    return Promise.resolve(Float64Array.from(answers, (_, i) => -calls + i / 100));
  };
  const ran = await run("best", {}, { reward });
  expect(ran.model).toBe(join(folder, "best", "best"));
  expect(isSame(ran.model!, join(folder, "model"), "model.safetensors")).toBe(true);
  expect(readdirSync(ran.model!)).not.toContain("training-state.safetensors");
});

test("measurements without a better one end the run; it is done when it is started again", async () => {
  let calls = 0;
  const reward: PpoInputs["reward"] = (answers) =>
    Promise.resolve(new Float64Array(answers.length).fill((calls -= 1)));
  const ran = await run("patient", { validationEvery: 1, patience: 2 }, { reward });
  expect(ran.events.at(-2)).toEqual({
    type: "ended",
    step: 2,
    reason: "the held-out reward has not risen in 2 measurements",
  });
  const again = await run("patient", { validationEvery: 1, patience: 2 });
  expect(again.events.map(({ type }) => type)).toEqual(["resumed"]);
  expect(again.model).toBe(ran.model);
});

test("a KL above the limit ends the run before the update", async () => {
  const ran = await run("far", { maxKl: 0.01, lr: 0.03 });
  const ended = ran.events.find(({ type }) => type === "ended");
  expect(ended).toMatchObject({ type: "ended" });
  expect(ended).toHaveProperty(
    "reason",
    expect.stringMatching(/^the KL to the reference, \d+\.\d\d nats an answer, is above max_kl \(0\.01\)$/),
  );
  expect(metricsOf(ran, "objective/kl").every((kl) => kl <= 0.01)).toBe(true);
  // The policy that was too far has taken no step more, and the run is over for good.
  const steps = metricsOf(ran, "objective/kl").length;
  expect(steps).toBeGreaterThan(0);
  expect(ended).toHaveProperty("step", steps);
  const again = await run("far", { maxKl: 0.01, lr: 0.03 });
  expect(again.events.map(({ type }) => type)).toEqual(["resumed"]);
});

test("a policy that is not its reference before the first update is refused", async () => {
  const stopped = await run("begun", {}, { stop: ({ type }) => type === "validation" });
  expect(stopped.events.some(({ type }) => type === "iteration")).toBe(false);
  using backend = openBackend({ threads: 1 });
  rmSync(join(folder, "model"), { recursive: true });
  writeToyModel(join(folder, "model"), backend, 2);
  await expect(run("begun")).rejects.toMatchObject({
    message: expect.stringMatching(
      /^the KL to the reference is -?\d\S* before the first update: the two are not one model$/,
    ) as string,
    mend: "Delete the run's folder and start afresh; if it stays, use --set device=cpu.",
  });
});

test("without held-out prompts the last policy is the result", async () => {
  const { model, events } = await run("blind", { iterations: 1 }, { heldOut: [] });
  expect(model).toBe(join(folder, "blind", "step-00000001"));
  expect(events.some(({ type }) => type === "validation")).toBe(false);
});

test("the value function may start as a reward model", async () => {
  const { model } = await run("first", { iterations: 1 });
  const valueModel = join(folder, "first", "step-00000001", "value");
  expect(model).toBeDefined();
  const ran = await run("second", { iterations: 1 }, { valueModel });
  expect(ran.events.some(({ type }) => type === "iteration")).toBe(true);
});

test("the model that it started from is left as it was", async () => {
  const before = readFileSync(join(folder, "model", "model.safetensors"));
  await run("apart", { iterations: 1 });
  expect(readFileSync(join(folder, "model", "model.safetensors")).equals(before)).toBe(true);
});
