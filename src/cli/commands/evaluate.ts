/** `cria evaluate perplexity`: how well a model predicts a text. */

import { defineCommand } from "../command.ts";
import { perplexity } from "../../evaluate/perplexity.ts";
import { openFile } from "../../formats/file-source.ts";
import { decodeText } from "../../corpus/text-encoding.ts";
import { modelArguments, openModel } from "../model-options.ts";
import { Progress } from "../progress.ts";
import { table } from "../terminal.ts";

export const evaluatePerplexity = defineCommand({
  details:
    "Cuts the text into windows of the context's length, each beginning with BOS, and predicts every token once from " +
    "what precedes it in its window. Bits per byte compare models with different tokenizers.",
  args: {
    ...modelArguments,
    file: { type: "positional", required: true, description: "A text file" },
    json: { type: "boolean", description: "One JSON object" },
  },
  examples: [
    "cria evaluate perplexity runs/speedrun/model book.txt",
    "cria evaluate perplexity model.gguf book.txt --context 512 --json",
  ],
  async run(args, { stdout, stderr, signal }) {
    using source = openFile(args.file);
    const text = decodeText(source.read(0, source.size));
    using model = await openModel(args, signal);
    using progress = new Progress({ label: "Perplexity", total: 1, unit: "tokens", stream: stderr });
    const result = await perplexity(model.decoder, model.tokenizer, text, {
      signal,
      onProgress: (done, total, nats) => progress.update({ done, total, loss: nats / Math.max(1, done) }),
    });
    progress.end();
    if (args.json) {
      stdout.write(`${JSON.stringify(result)}\n`);
      return;
    }
    const rows = [
      ["perplexity", result.perplexity.toFixed(4)],
      ["loss, nats a token", result.loss.toFixed(4)],
      ["bits per byte", result.bitsPerByte.toFixed(4)],
      ["tokens", String(result.tokens)],
      ["bytes", String(result.bytes)],
    ];
    stdout.write(table(rows, { right: [1] }));
  },
});
