import { expect, test } from "vitest";
import { encodeDialog } from "../../src/dialog/llama2-chat.ts";
import { colouredByMask } from "../../src/dialog/show.ts";
import { tinyTokenizer } from "./tiny-tokenizer.ts";

const tokenizer = tinyTokenizer();
const example = encodeDialog(
  [
    { role: "user", content: "Hi" },
    { role: "assistant", content: "Grüße!" },
  ],
  tokenizer,
);

test("trained tokens are green and the others grey", () => {
  expect(colouredByMask(example, tokenizer)).toBe(
    "\u001b[90m<s> [INST] Hi [/INST]\u001b[39m\u001b[32m Grüße! </s>\u001b[39m",
  );
});

test("without colour, brackets are around the trained tokens", () => {
  expect(colouredByMask(example, tokenizer, false)).toBe("<s> [INST] Hi [/INST]⟦ Grüße! </s>⟧");
});

test("escape codes in the text are shown, not obeyed", () => {
  const hostile = encodeDialog(
    [
      { role: "user", content: "a\u001b[2Jb\nc" },
      { role: "assistant", content: "d\u009be" },
    ],
    tokenizer,
  );
  expect(colouredByMask(hostile, tokenizer, false)).toBe("<s> [INST] a\\x1b[2Jb\nc [/INST]⟦ d\\x9be </s>⟧");
});
