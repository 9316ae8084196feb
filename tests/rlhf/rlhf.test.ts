/** The driver: which stage gets what, and that every one of them is done once, wherever the run was killed. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openLedger } from "../../src/rlhf/ledger.ts";
import {
  rlhf,
  type RlhfOptions,
  type RlhfOutcome,
  type RlhfStages,
  type StageName,
  type Version,
} from "../../src/rlhf/rlhf.ts";
import type { VersionMetrics } from "../../src/rlhf/version.ts";

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "cria-rlhf-"))));
afterEach(() => rmSync(folder, { recursive: true }));

const version = (name: string, ...stages: StageName[]): Version => ({ name, stages, preferences: [] });
const options: RlhfOptions = {
  model: "chat",
  restart: "base",
  versions: [
    version("V1", "collect", "reward", "reject", "evaluate"),
    version("V2", "reject", "gatt"),
    version("V3", "reject"),
    version("V4", "collect", "reward", "reject", "ppo", "evaluate"),
  ],
  poolFrom: 4,
  seed: 7,
};

type Call = readonly [name: string, work: object];

/** Stages that note their work, and fail like a killed process when they are told to. */
function stagesOf(calls: Call[], dies: (name: string) => boolean = () => false): RlhfStages {
  const stage =
    <Result extends object>(result: (name: string) => Result) =>
    (work: object, name: string): Promise<Result> => {
      if (dies(name)) return Promise.reject(new Error("killed"));
      calls.push([name, work]);
      return Promise.resolve(result(name));
    };
  const metrics = (judged: string): VersionMetrics => ({
    judged,
    helpfulness: 0.5,
    safety: 0.5,
    violations: 0,
    falseRefusals: 0,
    tokens: 10,
    finished: 1,
    distinct: 1,
    kl: { perAnswer: 0, perToken: 0 },
    wins: {},
  });
  return {
    collect: stage((name) => ({
      train: `${name}/train`,
      test: `${name}/test`,
      trainPairs: 1,
      testPairs: 1,
      leftOut: 0,
      firstWins: 0.5,
    })),
    reward: stage((name) => ({ helpfulness: `${name}/h`, safety: `${name}/s` })),
    reject: stage((name) => ({ checkpoint: `${name}/model`, winners: `${name}/winners` })),
    distil: stage((name) => ({ checkpoint: `${name}/model`, winners: `${name}/winners` })),
    ppo: stage((name) => ({ checkpoint: `${name}/model` })),
    gatt: stage((name) => ({ checkpoint: `${name}/model` })),
    evaluate: stage((name) => metrics(`${name}/judged`)),
  };
}

function run(
  stages: RlhfStages,
  changes: Partial<RlhfOptions> = {},
  steps = join(folder, "steps"),
): Promise<RlhfOutcome> {
  return rlhf({ ...options, ...changes }, stages, openLedger({ folder: steps, commit: "abc" }));
}

describe("of four versions", () => {
  let calls: Call[];
  let outcome: RlhfOutcome;
  beforeEach(async () => {
    calls = [];
    outcome = await run(stagesOf(calls));
  });
  const workOf = (name: string): object => calls.find(([called]) => called === name)![1];

  test("every stage is run in its place, after a measurement of the start", () => {
    expect(calls.map(([name]) => name)).toEqual([
      "start-evaluate",
      "V1-collect",
      "V1-reward",
      "V1-reject",
      "V1-evaluate",
      "V2-reject",
      "V2-gatt",
      "V3-reject",
      "V4-collect",
      "V4-reward",
      "V4-reject",
      "V4-ppo",
      "V4-evaluate",
    ]);
    expect(outcome.policy).toBe("V4-ppo/model");
    expect(Object.keys(outcome.metrics)).toEqual(["start", "V1", "V4"]);
  });

  test("preferences are of the newest policy and the one before it; in V1 both are the start", () => {
    expect(workOf("V1-collect")).toEqual({ policy: "chat", previous: "chat", seed: 8 });
    expect(workOf("V4-collect")).toEqual({ policy: "V3-reject/model", previous: "V2-gatt/model", seed: 11 });
  });

  test("reward models are trained on all preferences so far, from the newest policy", () => {
    expect(workOf("V4-reward")).toEqual({
      initial: "V3-reject/model",
      train: ["V1-collect/train", "V4-collect/train"],
      test: ["V1-collect/test", "V4-collect/test"],
    });
  });

  test("rejection sampling asks the newest policy, restarts from the base model, by the newest rewards", () => {
    expect(workOf("V3-reject")).toMatchObject({ sampler: "V2-gatt/model", model: "base" });
    expect(workOf("V3-reject")).toMatchObject({
      rewards: { helpfulness: "V1-reward/h", safety: "V1-reward/s" },
    });
    expect(workOf("V4-reject")).toMatchObject({ rewards: { helpfulness: "V4-reward/h" } });
  });

  test("up to V3 it learns from its own samples only, from V4 on from all earlier winners too", () => {
    expect(workOf("V3-reject")).toMatchObject({ beside: [] });
    expect(workOf("V4-reject")).toMatchObject({
      beside: ["V1-reject/winners", "V2-reject/winners", "V3-reject/winners"],
    });
  });

  test("PPO goes on from the version's rejection sampling", () => {
    expect(workOf("V4-ppo")).toMatchObject({ policy: "V4-reject/model" });
  });

  test("a version is compared with the start and with the one measured before it", () => {
    expect(workOf("start-evaluate")).toMatchObject({ rivals: {} });
    expect(workOf("V1-evaluate")).toMatchObject({ rivals: { start: "start-evaluate/judged" } });
    expect(workOf("V4-evaluate")).toMatchObject({
      rivals: { start: "start-evaluate/judged", V1: "V1-evaluate/judged" },
    });
  });
});

test("killed in every stage once, it does each once and ends as if it had not been", async () => {
  const reference = await run(stagesOf([]), {}, join(folder, "whole"));
  const calls: Call[] = [];
  const died = new Set<string>();
  const stages = stagesOf(calls, (name) => !died.has(name) && died.add(name).size > 0);
  let outcome: RlhfOutcome | undefined;
  while (outcome === undefined) {
    outcome = await run(stages).catch((error: unknown) => {
      expect(error).toMatchObject({ message: "killed" });
      return undefined;
    });
  }
  expect(died.size).toBe(13);
  expect(outcome).toEqual(reference);
  expect(new Set(calls.map(([name]) => name)).size).toBe(calls.length);
});

describe("safety context distillation", () => {
  const versions = [version("V1", "reward", "reject", "distil"), version("V2", "reject", "ppo")];

  test("is of the newest policy by the newest rewards, and its winners are pooled with the others", async () => {
    const calls: Call[] = [];
    await run(stagesOf(calls), { versions, poolFrom: 2 });
    expect(calls.map(([name]) => name)).toEqual([
      "V1-reward",
      "V1-reject",
      "V1-distil",
      "V2-reject",
      "V2-ppo",
    ]);
    expect(calls[2]![1]).toEqual({
      policy: "V1-reject/model",
      rewards: { helpfulness: "V1-reward/h", safety: "V1-reward/s" },
      seed: 8,
    });
    expect(calls[3]![1]).toMatchObject({
      sampler: "V1-distil/model",
      beside: ["V1-reject/winners", "V1-distil/winners"],
    });
  });

  test("that finds nothing safer leaves the policy and the pool as they are", async () => {
    const calls: Call[] = [];
    const distil: RlhfStages["distil"] = ({ policy }) => Promise.resolve({ checkpoint: policy });
    await run({ ...stagesOf(calls), distil }, { versions, poolFrom: 2 });
    expect(calls[2]).toEqual([
      "V2-reject",
      expect.objectContaining({ sampler: "V1-reject/model", beside: ["V1-reject/winners"] }),
    ]);
  });
});

test("preferences that people gave stand beside those that are collected, or in their place", async () => {
  const calls: Call[] = [];
  const versions = [{ ...version("V1", "reward"), preferences: ["people.jsonl"] }];
  await run(stagesOf(calls), { versions });
  expect(calls).toEqual([["V1-reward", { initial: "chat", train: ["people.jsonl"], test: [] }]]);
});

test("without test pairs there is no test file to read", async () => {
  const calls: Call[] = [];
  const stages = stagesOf(calls);
  const collect: RlhfStages["collect"] = async (work, name) => ({
    ...(await stages.collect(work, name)),
    testPairs: 0,
  });
  await run({ ...stages, collect }, { versions: [version("V1", "collect", "reward")] });
  expect(calls.at(-1)![1]).toMatchObject({ train: ["V1-collect/train"], test: [] });
});

test("a step of other work is not taken for this one", async () => {
  await run(stagesOf([]));
  await expect(run(stagesOf([]), { seed: 8 })).rejects.toThrow(
    /V1-collect\.json is of other work: seed was 8 and is 9/,
  );
});

test("a step remembers what the files that it read held", async () => {
  const file = join(folder, "people.jsonl");
  writeFileSync(file, "{}\n");
  const ledger = openLedger({ folder: join(folder, "steps"), commit: "abc" });
  await ledger.once("V1-reward", { train: [file], seed: 1 }, () => Promise.resolve({ helpfulness: "h" }));
  // SHA-256 of "{}\n".
  expect(ledger.steps[0]!.inputs).toEqual({ [file]: "ca3d163bab055381" });
  expect(ledger.steps[0]!.commit).toBe("abc");
});

test("a step's means over nothing are the same when the run goes on", async () => {
  const measured = { safety: Number.NaN, helpfulness: 0.5, curves: [[Number.NaN, 1]], name: "V1" };
  const once = () =>
    openLedger({ folder: join(folder, "steps"), commit: "abc" }).once("V1-evaluate", {}, () =>
      Promise.resolve(measured),
    );
  expect(await once()).toEqual(measured);
  expect(await once()).toEqual(measured);
});

test("a model's hash is of its weights, whatever the optimiser's state", async () => {
  const model = join(folder, "model");
  mkdirSync(model);
  const hashWith = async (name: string, state: string): Promise<string> => {
    writeFileSync(join(model, "model.safetensors"), "{}\n");
    writeFileSync(join(model, "training-state.safetensors"), state);
    const ledger = openLedger({ folder: join(folder, "steps"), commit: "abc" });
    await ledger.once(name, { policy: model }, () => Promise.resolve({}));
    return ledger.steps[0]!.inputs[model]!;
  };
  // SHA-256 of "{}\n".
  expect(await hashWith("V1-collect", "one")).toBe("ca3d163bab055381");
  expect(await hashWith("V2-collect", "two")).toBe("ca3d163bab055381");
});
