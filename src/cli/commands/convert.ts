/** `cria convert`: a model in another format or type. */

import { convertModel, storedMix } from "../../model/convert.ts";
import { mixNamed, mixNames } from "../../model/quantisation-mix.ts";
import { readModelFiles } from "../../model/load.ts";
import { tokenizerOfModel } from "../../tokenizer/open.ts";
import { ConfigError } from "../../errors/errors.ts";
import { defineCommand } from "../command.ts";
import { modelArguments } from "../model-options.ts";
import { Progress } from "../progress.ts";
import { formatBytes } from "../terminal.ts";

export const convert = defineCommand({
  details:
    "Reads a folder of Hugging Face's or Meta's, a .gguf file or a llama2.c .bin, and writes a .gguf file, or a Hugging Face folder " +
    `under any other name. Types: ${mixNames().join(", ")}; the K mixes are llama.cpp's.`,
  args: {
    model: { type: "positional", required: true, description: "The model to read" },
    out: { type: "positional", required: true, description: "A .gguf file, or a folder, to write" },
    type: { type: "string", valueHint: "TYPE", description: "Of the weights; as they are stored by default" },
    tokenizer: modelArguments.tokenizer,
    "split-mb": {
      type: "string",
      as: "integer",
      min: 1,
      valueHint: "N",
      description: "Write .gguf files of at most N megabytes",
    },
    "max-shard-size": {
      type: "string",
      valueHint: "SIZE",
      description: "Write files of at most this size, such as 500MB; a folder's have 5GB by default",
    },
    threads: modelArguments.threads,
  },
  examples: [
    "cria convert runs/speedrun/model speedrun.gguf --type q8_0",
    "cria convert llama-2-7b-chat llama-2-7b-chat.q4_k_m.gguf --type q4_k_m",
  ],
  async run(
    { model, out, type, tokenizer: named, threads, "split-mb": splitMb, "max-shard-size": shardSize },
    { stdout, stderr, signal },
  ) {
    const files = readModelFiles(model);
    const mix = type === undefined ? storedMix(files) : mixNamed(type);
    const tokenizer = tokenizerOfModel(model, files.config.vocabSize, named);
    using progress = new Progress({ label: "Converting", total: 1, unit: "bytes", stream: stderr });
    const { paths, bytes, types } = await convertModel({
      files,
      tokenizer,
      out,
      mix,
      signal,
      onProgress: (done, total) => progress.update({ done, total }),
      ...(threads === undefined ? {} : { threads }),
      ...maxFileBytes(splitMb, shardSize),
    });
    progress.end();
    const counts = [...types].map(([name, count]) => `${count} ${name}`).join(", ");
    stdout.write(
      `${paths.join(" ")}: ${formatBytes(bytes)} in ${[...types.values()].reduce((a, b) => a + b, 0)} tensors (${counts})\n`,
    );
  },
});

// --- internal ---

const units: Readonly<Record<string, number>> = { kb: 1e3, mb: 1e6, gb: 1e9 };

function maxFileBytes(splitMb: number | undefined, shardSize: string | undefined): { maxFileBytes?: number } {
  if (shardSize === undefined) return splitMb === undefined ? {} : { maxFileBytes: splitMb * 1e6 };
  const [, count = "", unit = ""] = /^(\d+(?:\.\d+)?)\s*([kmg]b)$/i.exec(shardSize) ?? [];
  const bytes = Number(count) * (units[unit.toLowerCase()] ?? 0);
  if (bytes > 0) return { maxFileBytes: bytes };
  throw new ConfigError(`--max-shard-size is ${JSON.stringify(shardSize)}, not a size`, {
    mend: "Write for instance --max-shard-size 500MB, or 5GB.",
  });
}
