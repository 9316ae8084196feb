/** Weights into ggml's quantised types, without an importance matrix. */

import type { Backend } from "../engine/backend.ts";
import { ConfigError, EngineError } from "../errors/errors.ts";
import { dtypes, type QuantisedType } from "./dtype.ts";
import { createStorage } from "./storage.ts";

/**
 * Types that weights can be put into. Of the others, some have too few bits to do without an importance matrix, and
 * some are those of models that were trained in them.
 */
export type QuantisableType = Extract<
  QuantisedType,
  `q${2 | 3 | 4 | 5 | 6}_k` | `q${4 | 5}_${0 | 1}` | "q8_0" | "iq4_nl" | "iq4_xs"
>;

/**
 * Rows in a quantised type, computed on the backend's number of threads off the event loop.
 *
 * @param backend of the CPU.
 * @param values  `[rows, columns]`
 * @throws {ConfigError} when rows are not whole blocks, or a value is not finite.
 */
export async function quantiseRows(
  backend: Backend,
  values: Float32Array,
  columns: number,
  type: QuantisableType,
): Promise<Uint8Array> {
  const rows = values.length / columns;
  checkFinite(values);
  using storage = createStorage("quantiser", backend, {
    from: { shape: [rows, columns] },
    to: { shape: [rows, columns], dtype: type },
  });
  const { from, to } = storage.tensors;
  from.write(values);
  const { ggml } = backend.library;
  const [source, target] = [ggml.getData(from.ptr), ggml.getData(to.ptr)];
  const each = Math.ceil(rows / backend.threads);
  const parts = Array.from({ length: Math.ceil(rows / each) }, (_, i) => i * each);
  await Promise.all(
    parts.map(
      (first) =>
        new Promise<void>((done, fail) => {
          const count = Math.min(each, rows - first);
          const { id } = dtypes[type];
          ggml.quantizeChunk.async(id, source, target, first * columns, count, columns, 0, (error) => {
            if (error === null) done();
            else fail(new EngineError("quantising failed", { call: "ggml_quantize_chunk", cause: error }));
          });
        }),
    ),
  );
  return to.read() as Uint8Array;
}

// --- internal ---

function checkFinite(values: Float32Array): void {
  // A callback for each of a model's weights would take half as long as quantising them.
  for (let i = 0; i < values.length; i += 1) {
    if (Math.abs(values[i]!) < Number.POSITIVE_INFINITY) continue;
    throw new ConfigError(`a weight of ${values[i]} cannot be quantised`, {
      mend: "The model is damaged or diverged: take another file or checkpoint of it.",
    });
  }
}
