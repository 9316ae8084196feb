/**
 * The config.json of a model that scores, as transformers' LlamaForSequenceClassification with one label has it.
 *
 * It reads the last token that is not padding. The pad token is `<unk>`, which no text encodes to (rare characters
 * become bytes): were it EOS, as often seen, transformers would read the token before EOS.
 */

import { FormatError } from "../errors/errors.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { isRecord } from "./config-source.ts";
import { configToHuggingFace, type LlamaConfig } from "./config.ts";
import type { HeadKind } from "./weights.ts";

export function scoringConfigToHuggingFace(
  config: LlamaConfig,
  tokenizer: Tokenizer,
): Record<string, unknown> {
  return {
    ...configToHuggingFace(config, tokenizer),
    architectures: ["LlamaForSequenceClassification"],
    id2label: { 0: "score" },
    label2id: { score: 0 },
    pad_token_id: tokenizer.unkId,
  };
}

/** @throws {FormatError} for a classifier of several labels. */
export function headOfHuggingFace(json: unknown, file: string): HeadKind {
  if (!isRecord(json) || !Array.isArray(json["architectures"])) return "next-token";
  if (!json["architectures"].includes("LlamaForSequenceClassification")) return "next-token";
  // transformers takes two where neither is there.
  const labels = isRecord(json["id2label"])
    ? Object.keys(json["id2label"]).length
    : Number(json["num_labels"] ?? 2);
  if (labels === 1) return "scalar";
  throw new FormatError(`the model has ${labels} labels, not one score`, {
    file,
    mend: "Give a reward model: a LlamaForSequenceClassification with num_labels 1.",
  });
}
