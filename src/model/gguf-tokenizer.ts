/** A tokenizer as the metadata of a GGUF file, for `writeGgufModel` (the GGUF specification, "Tokenizer"). */

import { ConfigError } from "../errors/errors.ts";
import type { GgufWriteValue } from "../formats/gguf-write.ts";
import { ggufTokenizerMetadata } from "../tokenizer/load.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/**
 * @param vocabSize rows of the model's embedding. llama.cpp takes the length of the token list for it, so a model
 *                  with more rows than its tokenizer has pieces gets unused tokens after them.
 * @throws {ConfigError} when the tokenizer has more pieces than the model has rows.
 */
export function ggufTokenizerValues(tokenizer: Tokenizer, vocabSize: number): Map<string, GgufWriteValue> {
  const { tokens, scores, tokenTypes, ...rest } = ggufTokenizerMetadata(tokenizer);
  if (tokens.length > vocabSize) {
    throw new ConfigError(`the tokenizer has ${tokens.length} pieces, the model ${vocabSize} rows`, {
      mend: "Write the model with its own tokenizer.",
    });
  }
  const padding = Array.from({ length: vocabSize - tokens.length }, (_, i) => tokens.length + i);
  const values = new Map<string, GgufWriteValue>();
  const put = (key: string, value: GgufWriteValue): void => void values.set(`tokenizer.ggml.${key}`, value);
  put("model", { type: "string", value: rest.model });
  put("pre", { type: "string", value: "default" });
  put("tokens", { type: "array", items: "string", value: [...tokens, ...padding.map((id) => `[PAD${id}]`)] });
  put("scores", { type: "array", items: "float32", value: [...scores, ...padding.map(() => lowestScore)] });
  put("token_type", { type: "array", items: "int32", value: [...tokenTypes, ...padding.map(() => unused)] });
  const ids = { unknown: rest.unkId, bos: rest.bosId, eos: rest.eosId, padding: rest.padId };
  for (const [name, id] of Object.entries(ids)) {
    if (id !== -1) put(`${name}_token_id`, { type: "uint32", value: id });
  }
  put("add_bos_token", { type: "bool", value: rest.addBos });
  put("add_eos_token", { type: "bool", value: rest.addEos });
  put("add_space_prefix", { type: "bool", value: rest.addSpacePrefix });
  put("remove_extra_whitespaces", { type: "bool", value: rest.removeExtraWhitespaces });
  return values;
}

// --- internal ---

/** Of padding: no merge leads to it, whatever its text. */
const lowestScore = -1e9;

/** The token type of a piece that is never produced. */
const unused = 5;
