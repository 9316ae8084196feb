/** Decoding while the ids are still coming, for text that is shown as it is generated. */
import { createDecoder, type Decoder } from "./decode.ts";
import type { Tokenizer } from "./tokenizer.ts";

/**
 * Text of a growing list of ids. The pieces of text put together are `tokenizer.decode` of all the ids, and
 * none of them ends inside a UTF-8 character: its bytes are held back until it is whole.
 *
 * @param promptIds ids that came before. The text is then what follows theirs: the first piece keeps its
 *        leading space unless they had no text. If they end inside a character, the character is emitted
 *        whole once its other bytes come.
 */
export function createStreamDecoder(tokenizer: Tokenizer, promptIds: ArrayLike<number> = []): Decoder {
  const decoder = createDecoder(tokenizer.model, tokenizer.rows);
  for (let i = 0; i < promptIds.length; i += 1) decoder.push(promptIds[i]!);
  return decoder;
}
