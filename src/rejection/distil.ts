/**
 * Safety context distillation (Llama 2 §4.2.4): an adversarial prompt is answered behind a safety preprompt, and the
 * answer is trained on without it; but only where the safety reward of the new answer is above that of the answer
 * that the model gives by itself, for to good answers a preprompt does harm.
 *
 * Preprompts are general, or made for a category of risk with a template of the answer; a prompt is answered behind
 * each that fits it.
 */

import { join } from "node:path";
import type { Prompt } from "../dialog/prompts.ts";
import { readRecord, readRecords, textField } from "../dialog/json-records.ts";
import { ConfigError } from "../errors/errors.ts";
import { sampledBy, scoredBy, type RejectionInputs } from "./rejection.ts";
import type { ScoredSample } from "./score.ts";
import { writePool, writeWinners, type Winner } from "./winners.ts";

export interface Preprompt {
  readonly text: string;
  /** The category of prompts that it is made for; all where it is left out. */
  readonly risk?: string | undefined;
}

export interface DistilOptions {
  /** It answers, and is fine-tuned on what it answered behind preprompts. */
  readonly model: string;
  /** Those that are not tagged as safety prompts are left alone. */
  readonly prompts: readonly Prompt[];
  readonly preprompts: readonly Preprompt[];
  /** Answers behind each preprompt. */
  readonly samples: number;
  readonly temperature: number;
  readonly seed: number;
  /** Files of dialogs that are trained on beside the distilled ones. */
  readonly beside: readonly string[];
}

export interface DistilOutcome {
  /** The fine-tuned model; the given one where no answer behind a preprompt is safer than its own. */
  readonly checkpoint: string;
  /** File of the distilled dialogs, where there are any. */
  readonly winners?: string;
  /** Dialogs fine-tuned on. */
  readonly dialogs: number;
  /** One for each safety prompt that got an answer: what the reward said of its own answer and of the best other. */
  readonly gains: readonly { readonly original: number; readonly distilled: number }[];
}

/** One preprompt a line: `{"text"}`, or `{"risk", "text"}`. */
export function readPreprompts(path: string): Preprompt[] {
  const file = readRecords(path);
  return file.records.map((record, i) =>
    readRecord(path, `line ${file.lineOf(i)}`, () => ({
      text: textField(record, "text"),
      risk: record["risk"] === undefined ? undefined : textField(record, "risk"),
    })),
  );
}

/** What the model is asked: each safety prompt by itself, and behind each preprompt that fits it. */
export function askedPrompts(options: Pick<DistilOptions, "prompts" | "preprompts">): Prompt[] {
  return variantsOf(options).map(({ asked }) => asked);
}

/** @throws the signal's reason when it is aborted; the next call goes on. */
export async function distil(options: DistilOptions, inputs: RejectionInputs): Promise<DistilOutcome> {
  const variants = variantsOf(options);
  const { samples, temperature, seed } = options;
  const plan = { prompts: variants.map(({ asked }) => asked), temperatures: [temperature], samples, seed };
  const answers = await sampledBy(plan, inputs);
  // The reward sees the prompt as users write it.
  const scored = await scoredBy(
    answers,
    variants.map(({ prompt }) => prompt),
    inputs,
  );
  const { winners, gains } = selected(scored, variants, temperature);
  if (winners.length === 0) return { checkpoint: options.model, dialogs: 0, gains };
  const files = {
    winners: join(inputs.folder, "winners.jsonl"),
    dialogs: join(inputs.folder, "dialogs.jsonl"),
  };
  writeWinners(files.winners, winners);
  const dialogs = writePool(files.dialogs, winners, options.beside);
  inputs.onEvent({ type: "selected", winners: winners.length, dialogs });
  const checkpoint = await inputs.fineTune(files.dialogs);
  return { checkpoint, winners: files.winners, dialogs, gains };
}

// --- internal ---

/** A prompt, and how it is asked: by itself, or behind a preprompt. */
interface Variant {
  readonly prompt: Prompt;
  readonly asked: Prompt;
  readonly isOriginal: boolean;
}

/** Each safety prompt by itself, and behind each preprompt that fits it. */
function variantsOf({ prompts, preprompts }: Pick<DistilOptions, "prompts" | "preprompts">): Variant[] {
  const safety = prompts.filter(({ isSafety }) => isSafety);
  if (safety.length === 0) {
    throw new ConfigError("none of the prompts is tagged as a safety prompt", {
      mend: 'Write "safety": true for prompts that may provoke unsafe answers.',
    });
  }
  return safety.flatMap((prompt) => {
    const fitting = preprompts.filter(({ risk }) => risk === undefined || risk === prompt.risk);
    const behindEach = fitting.map(({ text }) => ({
      prompt,
      asked: behind(text, prompt),
      isOriginal: false,
    }));
    return [{ prompt, asked: prompt, isOriginal: true }, behindEach].flat();
  });
}

/** A system message of the prompt's own stays, after the preprompt. */
function behind(text: string, prompt: Prompt): Prompt {
  const [first, ...rest] = prompt.dialog;
  const system = first?.role === "system" ? `${text}\n${first.content}` : text;
  const turns = first?.role === "system" ? rest : prompt.dialog;
  return { ...prompt, dialog: [{ role: "system", content: system }, ...turns] };
}

/** The model's own answer is its first one; of the others the best is compared with it. */
function selected(
  scored: readonly ScoredSample[],
  variants: readonly Variant[],
  temperature: number,
): { winners: Winner[]; gains: { original: number; distilled: number }[] } {
  const original = new Map<Prompt, number>();
  const best = new Map<Prompt, ScoredSample & { readonly score: number }>();
  for (const sample of scored) {
    const { score } = sample;
    const { prompt, isOriginal } = variants[sample.prompt]!;
    if (score === undefined) continue;
    if (isOriginal && sample.k === 0) original.set(prompt, score);
    if (!isOriginal && score > (best.get(prompt)?.score ?? Number.NEGATIVE_INFINITY))
      best.set(prompt, { ...sample, score });
  }
  const winners: Winner[] = [];
  const gains: { original: number; distilled: number }[] = [];
  for (const [prompt, { score, text, tokens }] of best) {
    const own = original.get(prompt);
    if (own !== undefined) gains.push({ original: own, distilled: score });
    if (own !== undefined && score <= own) continue;
    winners.push({
      dialog: [...prompt.dialog, { role: "assistant", content: text }],
      score,
      temperature,
      tokens,
    });
  }
  return { winners, gains };
}
