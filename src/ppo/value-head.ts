/** The head of a value function that shares the policy's trunk, and its file in a checkpoint. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { FormatError } from "../errors/errors.ts";
import { openFile } from "../formats/file-source.ts";
import { readSafetensors } from "../formats/safetensors.ts";
import { writeSafetensors } from "../formats/safetensors-write.ts";
import { readTensorAsF32 } from "../formats/tensor-info.ts";
import type { Backend } from "../tensor/backend.ts";
import { createStorage } from "../tensor/storage.ts";
import type { ValueHead } from "./learner.ts";

/**
 * The head of a checkpoint, or zeros: a value function that has learnt nothing expects nothing. The caller disposes it.
 *
 * @throws {FormatError} when the checkpoint's head is of another model.
 */
export function openValueHead(
  backend: Backend,
  dim: number,
  checkpoint: string | undefined,
): ValueHead & Disposable {
  const storage = createStorage("value head", backend, { head: { shape: [1, dim], requiresGrad: true } });
  const tensor = storage.tensors.head;
  try {
    if (checkpoint !== undefined) tensor.write(readHead(join(checkpoint, fileName), dim));
  } catch (error) {
    storage[Symbol.dispose]();
    throw error;
  }
  return {
    tensor,
    save(directory) {
      const numbers = new Uint8Array(tensor.readF32().buffer);
      const weight = { name: "weight", type: "f32", shape: [1, dim], data: () => numbers } as const;
      writeSafetensors(join(directory, fileName), [weight]);
    },
    [Symbol.dispose]: () => storage[Symbol.dispose](),
  };
}

// --- internal ---

const fileName = "value-head.safetensors";

function readHead(file: string, dim: number): Float32Array {
  if (!existsSync(file)) {
    throw new FormatError("there is no value head", {
      file,
      mend: "The run was begun with value: separate; give this one another --name.",
    });
  }
  using source = openFile(file);
  const info = readSafetensors(source).tensors.get("weight");
  if (info?.shape.at(-1) === dim) return readTensorAsF32(source, info);
  throw new FormatError(`the value head is not one of ${dim} numbers`, { file });
}
