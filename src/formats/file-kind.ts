/** What a file is, told from its first bytes where these tell, and from its name where they do not. */

import { basename } from "node:path";
import type { ByteSource } from "./bytes.ts";

export type FileKind =
  | "gguf"
  | "safetensors"
  | "torch"
  | "llama2c"
  | "llama2c-tokenizer"
  | "sentencepiece"
  | "tokenizer-json"
  | "json"
  | "unknown";

export function fileKind(source: ByteSource): FileKind {
  const name = basename(source.name).toLowerCase();
  const head = source.read(0, Math.min(source.size, 64));
  if (startsWith(head, "GGUF") || name.endsWith(".gguf")) return "gguf";
  if (name.endsWith(".safetensors") || looksLikeSafetensors(head, source.size)) return "safetensors";
  if (startsWith(head, "PK\u0003\u0004") || name.endsWith(".pth")) return "torch";
  if (name.endsWith(".model")) return "sentencepiece";
  if (name.endsWith("tokenizer.json")) return "tokenizer-json";
  if (name.endsWith(".json")) return "json";
  if (name.endsWith(".bin")) return looksLikePieces(head) ? "llama2c-tokenizer" : "llama2c";
  return "unknown";
}

// --- internal ---

function startsWith(head: Uint8Array, magic: string): boolean {
  return Buffer.from(head.subarray(0, magic.length)).equals(Buffer.from(magic));
}

/** A header's length, then the header: JSON. */
function looksLikeSafetensors(head: Uint8Array, size: number): boolean {
  if (head.length < 10) return false;
  const length = new DataView(head.buffer, head.byteOffset).getBigUint64(0, true);
  return length <= BigInt(size - 8) && head[8] === "{".charCodeAt(0) && head[9] === '"'.charCodeAt(0);
}

/** The longest piece's length, then a score and a piece no longer than that, in printable text. */
function looksLikePieces(head: Uint8Array): boolean {
  if (head.length < 13) return false;
  const view = new DataView(head.buffer, head.byteOffset);
  const [longest, length] = [view.getUint32(0, true), view.getInt32(8, true)];
  return longest <= 4096 && length > 0 && length <= longest && startsWith(head.subarray(12), "<unk>");
}
