import { readFileSync } from "node:fs";
import { Template } from "@huggingface/jinja";
import { expect, test } from "vitest";
import { chatTemplate, encodeDialog, encodePrompt } from "../../src/dialog/llama2-chat.ts";
import type { Dialog } from "../../src/dialog/message.ts";
import { readDialogs } from "../../src/dialog/readers.ts";
import { describeWithSharedData, sharedFile } from "../shared.ts";
import { tinyTokenizer } from "./tiny-tokenizer.ts";

const template = new Template(chatTemplate);
const tokenizer = tinyTokenizer();

/** As `apply_chat_template` of Hugging Face calls it; `raise_exception` is built in. */
function render(messages: Dialog): string {
  return template.render({ messages, bos_token: "<s>", eos_token: "</s>" });
}

/** The text of our tokens, turn by turn: BOS opens one. */
function ourText(dialog: Dialog): string {
  const isAnswered = dialog.at(-1)!.role === "assistant";
  const tokens = isAnswered ? encodeDialog(dialog, tokenizer).tokens : encodePrompt(dialog, tokenizer);
  let text = "";
  for (let start = 0; start < tokens.length;) {
    const next = tokens.indexOf(tokenizer.bosId, start + 1);
    const turn = tokens.subarray(start, next < 0 ? tokens.length : next);
    text += `<s>${tokenizer.decode(turn)}${turn.at(-1) === tokenizer.eosId ? "</s>" : ""}`;
    start += turn.length;
  }
  return text;
}

const question = { role: "user", content: " Who are\nyou? " } as const;
const answer = { role: "assistant", content: "\tCria. " } as const;
const opening = { role: "system", content: " Be brief. " } as const;

test("the template writes the format of the reference code", () => {
  expect(render([opening, question, answer, question])).toBe(
    "<s>[INST] <<SYS>>\n Be brief. \n<</SYS>>\n\n Who are\nyou? [/INST] Cria. </s><s>[INST] Who are\nyou? [/INST]",
  );
});

test.each<[Dialog]>([
  [[question]],
  [[question, answer]],
  [[opening, question]],
  [[opening, question, answer, question, answer]],
])("the template and the encoder write the same text", (dialog) => {
  expect(render(dialog)).toBe(ourText(dialog));
});

test("the template refuses dialogs that do not alternate", () => {
  for (const dialog of [[answer], [question, question], [question, answer, answer], [question, opening]]) {
    expect(() => render(dialog)).toThrow("user and assistant must alternate, user first");
  }
});

describeWithSharedData("on real conversations", () => {
  test("the template and the encoder write the same text", () => {
    const { dialogs } = readDialogs(sharedFile("tokenizer/llama2-chat/chat-reference.jsonl"));
    expect(dialogs).toHaveLength(30);
    for (const dialog of dialogs) expect(render(dialog)).toBe(ourText(dialog));
  });

  test("also of a data set without tags", () => {
    const lines = readFileSync(sharedFile("sft/fastchat/dummy_conversation.json"), "utf8");
    expect(lines).not.toContain("[INST]");
    const { dialogs } = readDialogs(sharedFile("sft/fastchat/dummy_conversation.json"));
    for (const dialog of dialogs) expect(render(dialog)).toBe(ourText(dialog));
  });
});
