/**
 * Checkpoints: Hugging Face directories that also hold what a run needs to go on bit for bit.
 *
 *     step-00000100/
 *       config.json  generation_config.json  model.safetensors
 *       tokenizer.model  tokenizer.json  tokenizer_config.json
 *       training-state.safetensors     AdamW's first and second moments, f32
 *       run.json                       step, data position, random state
 *
 * A directory is filled under another name and then renamed, so that it is whole or not there.
 */

import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ConfigError, FormatError } from "../errors/errors.ts";
import {
  removeStaleTemporaries,
  writeDirectoryAtomically,
  writeFileAtomically,
} from "../formats/atomic-file.ts";
import { openFile } from "../formats/file-source.ts";
import { isJsonObject, readJsonFile } from "../formats/json.ts";
import { readSafetensors } from "../formats/safetensors.ts";
import { writeSafetensors } from "../formats/safetensors-write.ts";
import { readTensorAsF32, type TensorToWrite } from "../formats/tensor-info.ts";
import { writeModelFiles } from "../model/directory.ts";
import { loadMasterWeights, readModelFiles } from "../model/load.ts";
import { writeHuggingFaceWeights } from "../model/save.ts";
import { headKind, type HeadKind, type LlamaWeights, type OwnedWeights } from "../model/weights.ts";
import type { AdamWState } from "../tensor/adamw.ts";
import type { Backend } from "../tensor/backend.ts";
import { sameShape, shapeText } from "../tensor/shape.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/** What `run.json` holds: plain data of the stage that wrote it. */
export type RunState = Readonly<Record<string, unknown>> & { readonly step: number };

export interface Checkpoint {
  readonly weights: LlamaWeights;
  readonly tokenizer: Tokenizer;
  /** Left out of a finished model. */
  readonly optimizer?: AdamWState;
  readonly run: RunState;
  /** Writes what else belongs to it into the directory. */
  readonly beside?: (directory: string) => void;
}

/** Writes a checkpoint; one that is already there is replaced whole. */
export function saveCheckpoint(directory: string, checkpoint: Checkpoint): void {
  const { weights, tokenizer, optimizer, run, beside } = checkpoint;
  writeDirectoryAtomically(directory, (temporary) => {
    const file = (name: string): string => join(temporary, name);
    writeModelFiles(temporary, weights.config, tokenizer, { head: headKind(weights) });
    writeHuggingFaceWeights(file("model.safetensors"), weights);
    if (optimizer !== undefined)
      writeSafetensors(file("training-state.safetensors"), momentTensors(optimizer));
    beside?.(temporary);
    writeFileAtomically(file("run.json"), `${JSON.stringify(run, null, 2)}\n`);
  });
}

/** Weights of a checkpoint in f32, to train on; the caller disposes them. */
export function loadCheckpointWeights(backend: Backend, directory: string, head?: HeadKind): OwnedWeights {
  return loadMasterWeights(backend, readModelFiles(directory, head));
}

/** Puts AdamW's moments back. @throws {FormatError} when the checkpoint has none for a weight, or of another shape. */
export function restoreOptimizer(directory: string, optimizer: AdamWState): void {
  using source = openFile(join(directory, "training-state.safetensors"));
  const { tensors } = readSafetensors(source);
  for (const part of ["m", "v"] as const) {
    for (const [name, tensor] of Object.entries(optimizer[part])) {
      const info = tensors.get(`${part}.${name}`);
      if (info === undefined)
        throw new FormatError(`the tensor ${part}.${name} is missing`, { file: source.path });
      if (!sameShape(info.shape, tensor.shape)) {
        throw new FormatError(
          `${part}.${name} has shape ${shapeText(info.shape)} where the weight has ${shapeText(tensor.shape)}`,
          { file: source.path, offset: info.offset, mend: "Start afresh under another --name." },
        );
      }
      tensor.write(readTensorAsF32(source, info));
    }
  }
}

export function readRunState(directory: string): RunState {
  const file = join(directory, "run.json");
  const parsed = readJsonFile(file);
  if (isJsonObject(parsed) && typeof parsed["step"] === "number") return parsed as unknown as RunState;
  throw new FormatError("there is no step in it", { file });
}

/** `step-00000100`. */
export function checkpointName(step: number): string {
  return `step-${String(step).padStart(8, "0")}`;
}

/** The newest whole checkpoint in a folder, if there is one; leftovers of killed writers are cleared away. */
export function latestCheckpoint(folder: string): string | undefined {
  if (!existsSync(folder)) return undefined;
  removeStaleTemporaries(folder);
  const newest = checkpointsIn(folder).at(-1);
  return newest === undefined ? undefined : join(folder, newest);
}

/** Deletes all but the newest `keep` checkpoints. */
export function pruneCheckpoints(folder: string, keep: number): void {
  if (keep < 1) throw new ConfigError(`keep_checkpoints (${keep}) is less than 1`);
  for (const name of checkpointsIn(folder).slice(0, -keep))
    rmSync(join(folder, name), { recursive: true, force: true });
}

// --- internal ---

function checkpointsIn(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => /^step-\d+$/.test(name))
    .sort();
}

function momentTensors(optimizer: AdamWState): TensorToWrite[] {
  return (["m", "v"] as const).flatMap((part) =>
    Object.entries(optimizer[part]).map(([name, tensor]) => ({
      name: `${part}.${name}`,
      type: "f32" as const,
      shape: tensor.shape,
      data: () => {
        const values = tensor.readF32();
        return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      },
    })),
  );
}
