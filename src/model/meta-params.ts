/** Meta's params.json: the shape of a model in Meta's own format (Llama 2's reference code, ModelArgs). */

import { FormatError } from "../errors/errors.ts";
import type { StoredWeight } from "./stored-weight.ts";
import { llamaConfig, type LlamaConfig } from "./config.ts";

/**
 * What params.json leaves to the code, the tensors say: `multiple_of` and `ffn_dim_multiplier` only make the hidden
 * size that w1 has, and `vocab_size` is -1 in the released files. The context's length is in neither: it is 2048 in
 * Llama 1 and 4096 in Llama 2, which norm_eps tells apart (1e-6 and 1e-5).
 *
 * @throws {FormatError} when a number or a tensor is missing. @throws {ConfigError} when a size cannot be.
 */
export function configFromMeta(
  params: Readonly<Record<string, unknown>>,
  tensors: ReadonlyMap<string, StoredWeight>,
  file: string,
): LlamaConfig {
  const number = (key: string, fallback?: number): number => {
    const value = params[key] ?? fallback;
    if (typeof value === "number") return value;
    throw new FormatError(`${key} is not a number`, {
      file,
      mend: "Give the params.json that lies beside the weights.",
    });
  };
  const rowsOf = (name: string): number => {
    const rows = tensors.get(name)?.shape[0];
    if (rows !== undefined) return rows;
    throw new FormatError(`the tensor ${name} is missing`, { file });
  };
  const normEps = number("norm_eps");
  const nHeads = number("n_heads");
  return llamaConfig({
    dim: number("dim"),
    nLayers: number("n_layers"),
    nHeads,
    nKvHeads: number("n_kv_heads", nHeads),
    hiddenDim: rowsOf("layers.0.feed_forward.w1.weight"),
    vocabSize: rowsOf("tok_embeddings.weight"),
    maxSeqLen: number("max_seq_len", normEps < 5e-6 ? 2048 : 4096),
    normEps,
    ropeTheta: number("rope_theta", 10_000),
    isTied: !tensors.has("output.weight"),
  });
}
