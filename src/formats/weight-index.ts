/**
 * Weights split over several files of one directory, with an index that says which tensor is where: the
 * `*.index.json` of Hugging Face's layout, whose `weight_map` gives a file's name for each tensor's.
 */

import { join } from "node:path";
import { FormatError } from "../errors/errors.ts";
import { quoted } from "./bytes.ts";
import { isJsonObject, readJsonFile } from "./json.ts";
import type { TensorInfo } from "./tensor-info.ts";

/** The index of the largest models has a few hundred kilobytes. */
const maxIndexBytes = 100_000_000;

/**
 * Reads every shard once.
 *
 * @param index     path of the index; the shards lie beside it, in `root`.
 * @param extension of the shards' names, with its dot.
 * @throws {FormatError} when the index and the shards disagree, or a shard's name is a path.
 * @throws {ConfigError} when a shard is missing.
 */
export function readShards(
  { root, index, extension }: { readonly root: string; readonly index: string; readonly extension: string },
  readShard: (path: string) => ReadonlyMap<string, TensorInfo>,
): ReadonlyMap<string, TensorInfo> {
  const shardOf = readWeightMap(index, extension);
  const tensors = new Map<string, TensorInfo>();
  const disagree = (problem: string): FormatError =>
    new FormatError(problem, {
      file: index,
      mend: "The index and the shards are of different models: fetch them again together.",
    });
  for (const shard of new Set(shardOf.values())) {
    for (const [name, info] of readShard(join(root, shard))) {
      const mapped = shardOf.get(name);
      if (mapped !== shard) {
        const place = mapped === undefined ? "does not list it" : `puts it into ${mapped}`;
        throw disagree(`tensor ${quoted(name)} is in ${shard}, the index ${place}`);
      }
      tensors.set(name, info);
    }
  }
  for (const [name, shard] of shardOf) {
    if (!tensors.has(name)) throw disagree(`tensor ${quoted(name)} is not in ${shard}`);
  }
  return tensors;
}

// --- internal ---

/** Shard by tensor name. A shard is a name in the index's own directory, never a path out of it. */
function readWeightMap(index: string, extension: string): ReadonlyMap<string, string> {
  const parsed = readJsonFile(index, maxIndexBytes);
  const weightMap = isJsonObject(parsed) ? parsed["weight_map"] : undefined;
  if (!isJsonObject(weightMap)) throw new FormatError("there is no weight_map in it", { file: index });
  return new Map(
    Object.entries(weightMap).map(([name, shard]) => {
      if (typeof shard === "string" && /^(?!\.)[^/\\:\0]+$/.test(shard) && shard.endsWith(extension)) {
        return [name, shard];
      }
      throw new FormatError(
        `tensor ${quoted(name)} is mapped to ${quoted(shard)}, which is not a shard's name`,
        { file: index, mend: `A shard is a ${extension} file beside the index.` },
      );
    }),
  );
}
