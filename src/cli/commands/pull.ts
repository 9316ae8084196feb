/** `cria pull`: a model from the Hugging Face Hub. */

import { ConfigError } from "../../errors/errors.ts";
import { hubName } from "../../formats/model-cache.ts";
import { pullModel } from "../../model/hub.ts";
import { defineCommand } from "../command.ts";
import { Progress } from "../progress.ts";
import { formatBytes } from "../terminal.ts";

export const pull = defineCommand({
  details:
    "Fetches the weights (safetensors, else PyTorch's, else GGUF), the configuration and the tokenizer into the cache, " +
    "CRIA_CACHE or ~/.cache/cria, and checks their hashes. What breaks off goes on from there. Every command then takes " +
    "hf://owner/name for the model. HF_TOKEN is sent where a licence must be accepted first.",
  args: {
    name: { type: "positional", required: true, description: "hf://owner/name, or hf://owner/name:file" },
    endpoint: { type: "string", valueHint: "URL", description: "Of the Hub; HF_ENDPOINT by default" },
    json: { type: "boolean", description: "What was fetched as one JSON object" },
  },
  examples: [
    "cria pull hf://TinyLlama/TinyLlama-1.1B-Chat-v1.0",
    "cria pull hf://TheBloke/Llama-2-7B-Chat-GGUF:llama-2-7b-chat.Q4_K_M.gguf",
  ],
  async run({ name: text, endpoint, json }, { stdout, stderr, signal }) {
    const name = hubName(text.startsWith("hf://") ? text : `hf://${text}`);
    if (name === undefined) throw new ConfigError(`${text} is no name on the Hub`);
    const { HF_TOKEN: token, HF_ENDPOINT } = process.env;
    using progress = new Progress({
      label: `Fetching ${name.repo}`,
      total: 1,
      unit: "bytes",
      stream: stderr,
    });
    const { path, files, bytes } = await pullModel({
      name,
      endpoint: endpoint ?? HF_ENDPOINT,
      token,
      signal,
      onProgress: ({ done, total }) => progress.update({ done, total }),
    });
    progress.end();
    if (json) stdout.write(`${JSON.stringify({ path, files, bytes })}\n`);
    else stdout.write(`${path}: ${files.length} files, ${formatBytes(bytes)}\n`);
  },
});
