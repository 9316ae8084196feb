/** What a stage of a run is given by its command. */

import { ConfigError } from "../../errors/errors.ts";
import { openBackend, type Backend } from "../../tensor/backend.ts";
import type { Precision } from "../../tensor/graph.ts";
import type { CommandContext } from "../command.ts";

export type StageContext = Pick<CommandContext, "signal" | "stderr" | "style">;

/** Settings of a recipe that say where a stage computes. */
export interface DeviceSettings {
  readonly device: string;
  readonly threads?: number | undefined;
  readonly precision: "auto" | Precision;
}

/** The caller disposes it. */
export function openStageBackend({ device, threads }: Omit<DeviceSettings, "precision">): Backend {
  return openBackend(threads === undefined ? { device } : { device, threads });
}

/** Runs what a second call would go on with, and says so when it is interrupted. */
export async function resumable<Result>(
  { signal, stderr }: StageContext,
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (signal.aborted) stderr.write("Stopped; the same command goes on from here.\n");
    throw error;
  }
}

/** `auto` is bf16 where the device has instructions for it: elsewhere it is no faster than f32. */
export function precisionOf({ precision }: DeviceSettings, backend: Backend): Precision {
  if (precision !== "auto") return precision;
  return backend.features.some((feature) => /BF16/i.test(feature)) ? "bf16" : "f32";
}

/** @throws {ConfigError} when a number of a plan that was written by an earlier sitting is none. */
export function positiveInteger(value: unknown, where: string): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 1) return value;
  throw new ConfigError(`${where} is ${JSON.stringify(value)}, not a whole number of at least 1`);
}
