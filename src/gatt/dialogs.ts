/**
 * Dialogs with an instruction that holds throughout, and the two forms that Ghost Attention has of them (Llama 2 §3.3):
 *
 *     sampled     inst u₁ / a₁ / inst u₂ / a₂ / …     the instruction stands at every turn
 *     trained on  inst u₁ / a₁ /      u₂ / a₂ / …     it stands at the first, and only the last answer has a loss
 *
 * The answers before the last were written with an instruction that the context of training does not show, so their
 * tokens have loss 0.
 */

import { encodeDialog, type Example } from "../dialog/llama2-chat.ts";
import type { Dialog, Message } from "../dialog/message.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Instruction } from "./constraints.ts";

/** Where the first turn has the instruction: before the question, or as the system message. */
export type Placement = "user" | "system";

export interface InstructedDialog {
  readonly instruction: Instruction;
  readonly questions: readonly string[];
  /** As many as questions, or one fewer where the last is to be answered. */
  readonly answers: readonly string[];
}

/** What is sampled from: the instruction at every turn. */
export function sampledDialog(dialog: InstructedDialog, placement: Placement): Dialog {
  return messagesOf(dialog, placement, (question) => `${dialog.instruction.text} ${question}`);
}

/** What is trained on and what users write: the instruction at the first turn only. */
export function ghostDialog(dialog: InstructedDialog, placement: Placement): Dialog {
  return messagesOf(dialog, placement, (question) => question);
}

/** Tokens of the dialog with the instruction at the first turn, and a loss on the last answer only. */
export function ghostExample(dialog: InstructedDialog, placement: Placement, tokenizer: Tokenizer): Example {
  const messages = ghostDialog(dialog, placement);
  const { tokens, lossMask } = encodeDialog(messages, tokenizer);
  // Turns are encoded one by one, so all but the last question and answer are the beginning of the tokens.
  const before = messages.slice(0, -2);
  const isFirst = before.every(({ role }) => role === "system");
  if (!isFirst) lossMask.fill(0, 0, encodeDialog(before, tokenizer).tokens.length);
  return { tokens, lossMask };
}

/**
 * The examples as rows of one length, so that no packing parts a last answer from its instruction. What is longer is
 * left out.
 *
 * @param padId fills the rest, without a loss.
 */
export function wholeRows(examples: readonly Example[], seqLen: number, padId: number): Example[] {
  return examples
    .filter(({ tokens }) => tokens.length <= seqLen)
    .map((example) => {
      const row = { tokens: new Int32Array(seqLen).fill(padId), lossMask: new Uint8Array(seqLen) };
      row.tokens.set(example.tokens);
      row.lossMask.set(example.lossMask);
      return row;
    });
}

/** The examples as rows of one length, as many whole ones to a row as fit, in their order. What is longer is left out. */
export function filledRows(examples: readonly Example[], seqLen: number, padId: number): Example[] {
  const groups: Example[][] = [];
  let room = 0;
  for (const example of examples) {
    const { length } = example.tokens;
    if (length > seqLen) continue;
    if (length > room) {
      groups.push([]);
      room = seqLen;
    }
    groups.at(-1)!.push(example);
    room -= length;
  }
  const joined = groups.map((group) => ({
    tokens: Int32Array.from(group.flatMap(({ tokens }) => [...tokens])),
    lossMask: Uint8Array.from(group.flatMap(({ lossMask }) => [...lossMask])),
  }));
  return wholeRows(joined, seqLen, padId);
}

// --- internal ---

function messagesOf(
  { instruction, questions, answers }: InstructedDialog,
  placement: Placement,
  later: (question: string) => string,
): Dialog {
  const turns = questions.flatMap((question, i): Message[] => {
    const isFirst = i === 0;
    const first = placement === "user" ? `${instruction.text} ${question}` : question;
    const asked: Message = { role: "user", content: isFirst ? first : later(question) };
    const answer = answers[i];
    return answer === undefined ? [asked] : [asked, { role: "assistant", content: answer }];
  });
  return placement === "system" ? [{ role: "system", content: instruction.text }, ...turns] : turns;
}
