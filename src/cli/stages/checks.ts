/** What would be refused hours into a run is refused before it. */

import { encodePrompt } from "../../dialog/llama2-chat.ts";
import type { Prompt } from "../../dialog/prompts.ts";
import { readDialogs } from "../../dialog/readers.ts";
import { ConfigError } from "../../errors/errors.ts";
import { readModelFiles } from "../../model/load.ts";
import type { HeadKind } from "../../model/weights.ts";
import { tokenizerOfModel } from "../../tokenizer/open.ts";
import { isSameVocabulary, type Tokenizer } from "../../tokenizer/tokenizer.ts";

/** @throws {ConfigError} when rows are longer than the model's context. */
export function checkLength({ model, seq_len }: { readonly model: string; readonly seq_len: number }): void {
  const { maxSeqLen } = readModelFiles(model).config;
  if (seq_len <= maxSeqLen) return;
  throw new ConfigError(`seq_len (${seq_len}) is more than the model's context of ${maxSeqLen}`, {
    mend: `Set seq_len to ${maxSeqLen} or less.`,
  });
}

/** @throws {ConfigError} for a prompt that fills the model's context, and leaves no room for an answer. */
export function checkPrompts(model: string, prompts: readonly Prompt[]): void {
  const { maxSeqLen } = readModelFiles(model).config;
  const tokenizer = tokenizerOf(model, "next-token");
  for (const { dialog } of prompts) {
    const { length } = encodePrompt(dialog, tokenizer);
    if (length < maxSeqLen) continue;
    const asked = JSON.stringify(dialog.at(-1)!.content.slice(0, 40));
    const behind = dialog[0]!.role === "system" ? " with its system message" : "";
    throw new ConfigError(
      `the prompt that asks ${asked}${behind} has ${length} tokens, and the model a context of ${maxSeqLen}`,
      { mend: "Leave it out, or shorten it." },
    );
  }
}

/** @throws {ConfigError} when two models do not share their tokens. @param why they must. */
export function checkVocabulary(policy: string, other: { path: string; head: HeadKind }, why: string): void {
  if (isSameVocabulary(tokenizerOf(policy, "next-token"), tokenizerOf(other.path, other.head))) return;
  throw new ConfigError(`the tokenizers of ${policy} and ${other.path} differ: ${why}`, {
    mend: "Give models that were made of one and the same.",
  });
}

/** @throws {ConfigError} for a file that is missing or is not one of dialogs. */
export function checkDialogFiles(files: readonly string[]): void {
  for (const file of files) readDialogs(file);
}

// --- internal ---

function tokenizerOf(path: string, head: HeadKind): Tokenizer {
  return tokenizerOfModel(path, readModelFiles(path, head).config.vocabSize);
}
