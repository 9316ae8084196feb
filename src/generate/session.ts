/**
 * What a decoder has read, in a file: its tokens, and their keys and values, in one safetensors file. A decoder of
 * the same model goes on from there with the same logits, and reads nothing again.
 */

import { createHash } from "node:crypto";
import { ConfigError } from "../errors/errors.ts";
import { openFile } from "../formats/file-source.ts";
import { readSafetensors, type SafetensorsFile } from "../formats/safetensors.ts";
import { writeSafetensors } from "../formats/safetensors-write.ts";
import type { Decoder } from "../model/decoder.ts";
import type { LlamaWeights } from "../model/weights.ts";

/**
 * Writes the file, in place of what stood there when all is written.
 *
 * @param tokens what the decoder has read, all of it.
 * @throws {ConfigError} when it has read another number of tokens.
 */
export function saveSession(path: string, decoder: Decoder, tokens: ArrayLike<number>): void {
  const { length } = decoder;
  if (tokens.length !== length || length === 0)
    throw new ConfigError(`the decoder has read ${length} tokens, and ${tokens.length} are to be saved`);
  const ids = Int32Array.from(tokens);
  writeSafetensors(
    path,
    [
      { name: "tokens", type: "i32", shape: [length], data: () => new Uint8Array(ids.buffer) },
      ...Array.from(decoder.cached, ([name, tensor]) => {
        const bytes = length * (tensor.bytes / tensor.shape[0]!);
        // As bytes, for safetensors has no quantised types.
        return { name, type: "u8" as const, shape: [bytes], data: () => tensor.readBytes(bytes) };
      }),
    ],
    { format: sessionFormat, model: modelOf(decoder) },
  );
}

/**
 * The decoder forgets what it has read, and has read what the file says.
 *
 * @returns the tokens.
 * @throws {ConfigError} for a file that is none of a session, or one of another model or type of cache. @throws
 *   {FormatError} for one that is damaged.
 */
export function restoreSession(path: string, decoder: Decoder): Int32Array {
  using source = openFile(path);
  const file = readSafetensors(source);
  requireSession(path, file, decoder);
  const bytesOf = (name: string): Uint8Array => {
    const tensor = file.tensors.get(name);
    if (tensor === undefined)
      throw new ConfigError(`${path} has no ${name}`, { mend: "It was made otherwise." });
    return source.read(tensor.offset, tensor.bytes);
  };
  const tokens = new Int32Array(bytesOf("tokens").slice().buffer);
  decoder.restore(tokens.length, bytesOf);
  return tokens;
}

// --- internal ---

const sessionFormat = "cria-session";

function requireSession(path: string, { metadata }: SafetensorsFile, decoder: Decoder): void {
  if (metadata["format"] !== sessionFormat) {
    throw new ConfigError(`${path} is not a session`, { mend: "`saveSession` writes one." });
  }
  if (metadata["model"] === modelOf(decoder)) return;
  throw new ConfigError(`${path} is a session of another model, or of another type of cache`, {
    mend: "Restore it with the model and the settings that it was saved with.",
  });
}

/** Says which model wrote a cache: by the config, the norms' gains, and the first rows of the embedding. */
function modelOf({ weights, cached }: Decoder): string {
  const hash = createHash("sha256");
  hash.update(JSON.stringify(weights.config));
  hash.update(cached.get("keys.0")!.dtype);
  for (const [name, tensor] of markers(weights)) {
    hash.update(`${name} ${tensor.dtype}`);
    if (!tensor.isPacked) hash.update(tensor.readBytes(Math.min(tensor.bytes, markerBytes)));
  }
  return hash.digest("hex");
}

const markerBytes = 2 ** 16;

function markers({ byName }: LlamaWeights): [string, LlamaWeights["embedding"]][] {
  return Object.entries(byName).filter(
    ([name]) => name.includes("norm") || name.startsWith("tok_embeddings"),
  );
}
