/** Texts that a model writes while and after it is trained. */

import { join } from "node:path";
import { createRandom } from "../../corpus/random.ts";
import { encodePrompt } from "../../dialog/llama2-chat.ts";
import { writeFileAtomically } from "../../formats/atomic-file.ts";
import { makeDirectory } from "../../formats/make-directory.ts";
import { generateTokens } from "../../generate/generate.ts";
import { Decoder } from "../../model/decoder.ts";
import { spokenBy, type LlamaWeights } from "../../model/weights.ts";
import type { Backend } from "../../tensor/backend.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import type { Sample } from "../../train/report.ts";

export interface SampleSource {
  readonly backend: Backend;
  readonly weights: LlamaWeights;
  readonly tokenizer: Tokenizer;
}

export interface SampleOptions {
  /** Whether a prompt is a text to go on with, or a question to answer in Llama 2's chat format. */
  readonly kind: "text" | "chat";
  readonly prompts: readonly string[];
  readonly maxTokens: number;
  readonly seed: number;
}

/** Temperature 0.6, top-p 0.9: Meta's reference settings. The same seed and weights give the same texts. */
export async function writeSamples(
  source: SampleSource,
  options: SampleOptions,
  signal: AbortSignal,
): Promise<Sample[]> {
  const { tokenizer } = source;
  using decoder = new Decoder(source.backend, spokenBy(source.weights, tokenizer));
  const samples: Sample[] = [];
  for (const prompt of options.prompts) {
    const isChat = options.kind === "chat";
    const ids = isChat
      ? encodePrompt([{ role: "user", content: prompt }], tokenizer)
      : [tokenizer.bosId, ...tokenizer.encode(prompt)];
    const random = createRandom(options.seed);
    decoder.truncate(0);
    const written: number[] = [];
    const settings = {
      temperature: 0.6,
      topK: 0,
      topP: 0.9,
      stopIds: [tokenizer.eosId],
      next: () => random.next(),
    };
    for await (const id of generateTokens(
      decoder,
      ids,
      { ...settings, maxTokens: options.maxTokens },
      signal,
    ))
      written.push(id);
    const before = tokenizer.decode(ids);
    samples.push({
      prompt,
      text: tokenizer
        .decode([...ids, ...written])
        .slice(before.length)
        .trim(),
    });
  }
  return samples;
}

/** Keeps them for a reader. */
export function saveSamples(folder: string, name: string, samples: readonly Sample[]): void {
  makeDirectory(folder);
  const texts = samples.map(({ prompt, text }) => `> ${prompt}\n\n${text}\n`);
  writeFileAtomically(join(folder, `${name}.txt`), texts.join("\n---\n\n"));
}
