/**
 * What stands beside the weights in a Hugging Face directory: configuration, tokenizer, chat template.
 */

import { join } from "node:path";
import { chatTemplate } from "../dialog/llama2-chat.ts";
import { writeFileAtomically } from "../formats/atomic-file.ts";
import { writeSentencePiece } from "../formats/sentencepiece.ts";
import { tokenizerConfigJson, writeTokenizerJson } from "../formats/tokenizer-json.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { configToHuggingFace, type LlamaConfig } from "./config.ts";
import { scoringConfigToHuggingFace } from "./scoring-config.ts";
import type { HeadKind } from "./weights.ts";

export interface ModelFilesOptions {
  /** Jinja, as tokenizer_config.json carries it; Llama-2-Chat's when left out. */
  readonly template?: string;
  /** The next token's when left out. */
  readonly head?: HeadKind;
}

export function writeModelFiles(
  directory: string,
  config: LlamaConfig,
  tokenizer: Tokenizer,
  { template = chatTemplate, head = "next-token" }: ModelFilesOptions = {},
): void {
  const file = (name: string): string => join(directory, name);
  const ids = { bosId: tokenizer.bosId, eosId: tokenizer.eosId };
  if (head === "scalar") {
    writeFileAtomically(file("config.json"), json(scoringConfigToHuggingFace(config, tokenizer)));
  } else {
    writeFileAtomically(file("config.json"), json(configToHuggingFace(config, ids)));
    writeFileAtomically(file("generation_config.json"), json(generationConfig(ids)));
  }
  writeFileAtomically(file("tokenizer.model"), writeSentencePiece(tokenizer.model));
  writeFileAtomically(file("tokenizer.json"), writeTokenizerJson(tokenizer.model));
  writeFileAtomically(file("tokenizer_config.json"), json(tokenizerConfigJson(tokenizer, template)));
}

// --- internal ---

/** Meta's reference sampling as transformers reads it. */
function generationConfig({ bosId, eosId }: { bosId: number; eosId: number }): object {
  return { bos_token_id: bosId, eos_token_id: eosId, do_sample: true, temperature: 0.6, top_p: 0.9 };
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
