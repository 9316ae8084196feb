/** `cria evaluate quantisation`: what each quantised type does to a model's predictions. */

import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeText } from "../../corpus/text-encoding.ts";
import { divergence, type Divergence } from "../../evaluate/divergence.ts";
import { openFile } from "../../formats/file-source.ts";
import { loadModel, type LoadedModel } from "../../generate/loaded-model.ts";
import { convertModel } from "../../model/convert.ts";
import { readModelFiles, type ModelFiles } from "../../model/load.ts";
import { mixNamed, type MixName } from "../../model/quantisation-mix.ts";
import { tokenizerOfModel } from "../../tokenizer/open.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import { defineCommand, type CommandContext } from "../command.ts";
import { modelArguments } from "../model-options.ts";
import { Progress } from "../progress.ts";
import { formatBytes, table } from "../terminal.ts";

export const evaluateQuantisation = defineCommand({
  details:
    "Converts the model to f16 and to each type, in a temporary folder, and compares their predictions of every token " +
    "of the text: perplexity, the Kullback-Leibler divergence from f16, and how often both think the same token most probable.",
  args: {
    model: { type: "positional", required: true, description: "A model of f32, f16 or bf16 weights" },
    file: { type: "positional", required: true, description: "A text file" },
    types: {
      type: "string",
      default: "q8_0,q6_k,q5_k_m,q4_k_m,q4_0,q3_k_m,q2_k",
      valueHint: "LIST",
      description: "Types, with commas between them",
    },
    tokenizer: modelArguments.tokenizer,
    context: {
      type: "string",
      as: "integer",
      min: 2,
      default: "512",
      valueHint: "N",
      description: "Tokens that are read at once",
    },
    tokens: {
      type: "string",
      as: "integer",
      min: 1,
      valueHint: "N",
      description: "Only the first N tokens of the text",
    },
    threads: modelArguments.threads,
    json: { type: "boolean", description: "One JSON object a type" },
  },
  examples: ["cria evaluate quantisation runs/speedrun/model book.txt --types q8_0,q4_k_m --tokens 20000"],
  async run(args, context) {
    const mixes = args.types.split(",").map((name) => mixNamed(name.trim()));
    using source = openFile(args.file);
    const text = decodeText(source.read(0, source.size));
    const files = readModelFiles(args.model);
    const tokenizer = tokenizerOfModel(args.model, files.config.vocabSize, args.tokenizer);
    const ids = Int32Array.from(tokenizer.encode(text)).slice(0, args.tokens);
    const folder = mkdtempSync(join(tmpdir(), "cria-quantisation-"));
    try {
      const settings = { files, tokenizer, ids, folder, contextTokens: args.context, threads: args.threads };
      const rows = await measured(mixes, settings, context);
      if (args.json) for (const row of rows) context.stdout.write(`${JSON.stringify(row)}\n`);
      else context.stdout.write(shown(rows));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
});

// --- internal ---

interface Settings {
  readonly files: ModelFiles;
  readonly tokenizer: Tokenizer;
  readonly ids: Int32Array;
  /** For the converted models, one at a time beside the reference. */
  readonly folder: string;
  readonly contextTokens: number;
  readonly threads: number | undefined;
}

interface Row extends Divergence {
  readonly type: MixName;
  /** Of the file. */
  readonly bytes: number;
}

async function measured(
  mixes: readonly MixName[],
  settings: Settings,
  { stderr, signal }: CommandContext,
): Promise<Row[]> {
  const { tokenizer, ids } = settings;
  const f16 = await converted("f16", settings, signal);
  using reference = await opened(f16, settings);
  const rows: Row[] = [];
  for (const type of mixes) {
    const path = await converted(type, settings, signal);
    const bytes = statSync(path).size;
    {
      using model = await opened(path, settings);
      using progress = new Progress({ label: type, total: ids.length, unit: "tokens", stream: stderr });
      const found = await divergence(reference.decoder, model.decoder, ids, {
        bosId: tokenizer.bosId,
        signal,
        onProgress: (done) => progress.update({ done }),
      });
      progress.end();
      rows.push({ type, bytes, ...found });
    }
    // The disk need not hold all types at once.
    if (type !== "f16") rmSync(path);
  }
  const [first] = rows;
  const own = { meanKl: 0, kl99: 0, sameTop: 1, tokens: ids.length };
  const perplexity = first?.referencePerplexity ?? Number.NaN;
  return [
    { type: "f16", bytes: statSync(f16).size, ...own, perplexity, referencePerplexity: perplexity },
    ...rows,
  ];
}

async function converted(mix: MixName, settings: Settings, signal: AbortSignal): Promise<string> {
  const { files, tokenizer, folder, threads } = settings;
  const out = join(folder, `${mix}.gguf`);
  await convertModel({ files, tokenizer, out, mix, signal, ...(threads === undefined ? {} : { threads }) });
  return out;
}

function opened(path: string, { contextTokens, threads, files }: Settings): Promise<LoadedModel> {
  return loadModel(path, {
    device: "cpu",
    contextTokens: Math.min(contextTokens, files.config.maxSeqLen),
    ...(threads === undefined ? {} : { threads }),
  });
}

function shown(rows: readonly Row[]): string {
  const head = ["type", "size", "perplexity", "KL, mean", "KL, 99%", "same top token"];
  const lines = rows.map(({ type, bytes, perplexity, meanKl, kl99, sameTop }) => [
    type,
    formatBytes(bytes),
    perplexity.toFixed(4),
    meanKl.toFixed(5),
    kl99.toFixed(5),
    `${(100 * sameTop).toFixed(2)}%`,
  ]);
  return table([head, ...lines], { right: [1, 2, 3, 4, 5] });
}
