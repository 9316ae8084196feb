/**
 * Ghost Attention (Llama 2 §3.3): dialogs whose every question carries an instruction, answered by the newest policy;
 * then the instruction is kept at the first turn only, the loss on the last answer only, and the policy fine-tuned; and
 * how long it keeps to an instruction is measured before and after.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Example } from "../dialog/llama2-chat.ts";
import type { Dialog } from "../dialog/message.ts";
import { writeFileAtomically } from "../formats/atomic-file.ts";
import { readJsonFile, type JsonObject } from "../formats/json.ts";
import type { AnswerSampler, Opened } from "../generate/answers.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import {
  consistency,
  unasked,
  type ConsistencyOptions,
  type TurnConsistency,
  type UnaskedShare,
} from "./consistency.ts";
import { checkConstraints, constraintKinds, type ConstraintLists } from "./constraints.ts";
import { ghostExample, wholeRows, type InstructedDialog } from "./dialogs.ts";
import { listFromModel } from "./lists.ts";
import { synthesise, type Synthesis, type SynthesisOptions } from "./synthesise.ts";

export interface GattOptions {
  readonly synthesis: Omit<SynthesisOptions, "lists">;
  readonly measurement: Omit<ConsistencyOptions, "lists">;
  readonly lists: ConstraintLists;
  /** How often the policy is asked for hobbies and figures of its own. */
  readonly askedForLists: number;
  /** Tokens of a training example at most: longer ones are left out. */
  readonly seqLen: number;
}

export interface OpenedSampler extends Opened<AnswerSampler> {
  /** Whether a prompt and an answer to it fit into the context. */
  readonly fits: (prompt: Dialog) => boolean;
}

export interface GattInputs {
  readonly policy: string;
  readonly tokenizer: Tokenizer;
  readonly openSampler: (model: string, use: "synthesis" | "measurement") => OpenedSampler;
  /** @returns the fine-tuned model. */
  readonly fineTune: (examples: readonly Example[]) => Promise<string>;
  readonly folder: string;
  readonly origin: JsonObject;
  readonly onEvent: (event: GattEvent) => void;
  readonly signal?: AbortSignal | undefined;
}

export type GattEvent =
  | { readonly type: "sampling" | "measuring"; readonly done: number; readonly of: number }
  | {
      readonly type: "synthesised";
      readonly dialogs: number;
      readonly outgrown: number;
      readonly examples: number;
    };

export interface GattOutcome {
  readonly checkpoint: string;
  readonly dialogs: number;
  readonly before: readonly TurnConsistency[];
  readonly after: readonly TurnConsistency[];
  /** What of it shows where nobody asked for it. */
  readonly unasked: Readonly<Record<"before" | "after", UnaskedShare>>;
  /** A dialog to draw the attention of. */
  readonly shown: InstructedDialog;
}

/** @throws the signal's reason when it is aborted; the next call goes on. */
export async function ghostAttention(options: GattOptions, inputs: GattInputs): Promise<GattOutcome> {
  checkConstraints(options.lists);
  const { dialogs, outgrown } = await synthesised(options, inputs);
  const { placement } = options.synthesis;
  const { tokenizer } = inputs;
  const examples = wholeRows(
    dialogs.map((dialog) => ghostExample(dialog, placement, tokenizer)),
    options.seqLen,
    tokenizer.eosId,
  );
  inputs.onEvent({ type: "synthesised", dialogs: dialogs.length, outgrown, examples: examples.length });
  const before = await measured("before", inputs.policy, options, inputs);
  const checkpoint = await inputs.fineTune(examples);
  const after = await measured("after", checkpoint, options, inputs);
  const shown = dialogs.reduce((a, b) => (b.questions.length > a.questions.length ? b : a));
  return {
    checkpoint,
    dialogs: dialogs.length,
    before: before.turns,
    after: after.turns,
    unasked: { before: before.unasked, after: after.unasked },
    shown,
  };
}

// --- internal ---

async function synthesised(options: GattOptions, inputs: GattInputs): Promise<Synthesis> {
  const { signal } = inputs;
  using sampler = inputs.openSampler(inputs.policy, "synthesis");
  const lists = await listsOf(options, sampler.run, signal);
  const listed = Object.fromEntries(constraintKinds.map((kind) => [kind, lists[kind] ?? []]));
  return await synthesise(
    { ...options.synthesis, lists },
    {
      sampler: sampler.run,
      fits: sampler.fits,
      file: join(inputs.folder, "answers.jsonl"),
      origin: { ...inputs.origin, policy: inputs.policy, lists: listed },
      onProgress: (done, of) => inputs.onEvent({ type: "sampling", done, of }),
      signal,
    },
  );
}

async function listsOf(
  { lists, askedForLists, synthesis }: GattOptions,
  sampler: AnswerSampler,
  signal: AbortSignal | undefined,
): Promise<ConstraintLists> {
  if (askedForLists === 0) return lists;
  const { seed, temperature } = synthesis;
  const ask = async (kind: "hobby" | "figure"): Promise<string[]> => {
    const listed = await listFromModel({ kind, samples: askedForLists, temperature, seed }, sampler, signal);
    return [...new Set([...(lists[kind] ?? []), ...listed])];
  };
  return { ...lists, hobby: await ask("hobby"), figure: await ask("figure") };
}

interface Measurement {
  readonly turns: readonly TurnConsistency[];
  readonly unasked: UnaskedShare;
}

/** Measured once: the result is kept in a file. */
async function measured(
  when: "before" | "after",
  model: string,
  { measurement, lists }: GattOptions,
  inputs: GattInputs,
): Promise<Measurement> {
  const file = join(inputs.folder, `consistency-${when}.json`);
  if (existsSync(file)) return readJsonFile(file) as unknown as Measurement;
  using sampler = inputs.openSampler(model, "measurement");
  const turns = await consistency(
    { ...measurement, lists },
    {
      sampler: sampler.run,
      fits: sampler.fits,
      onProgress: (done, of) => inputs.onEvent({ type: "measuring", done, of }),
      signal: inputs.signal,
    },
  );
  const alone = { sampler: sampler.run, fits: sampler.fits, signal: inputs.signal };
  const result = { turns, unasked: await unasked({ ...measurement, lists }, alone) };
  writeFileAtomically(file, `${JSON.stringify(result, null, 1)}\n`);
  return result;
}
