/**
 * Dialogs for Ghost Attention, written by the policy itself: random instructions, questions that people asked, and the
 * policy's answers with the instruction at every turn, best of K as in rejection sampling.
 *
 * Turn after turn, some dialogs at once; their answers are a line of a log. Each answer follows from a seed of its own,
 * and the same dialogs are always answered together, so a run that was killed goes on and ends with the same dialogs.
 */

import { createRandom, type Random } from "../corpus/random.ts";
import { isAnswer, type Dialog } from "../dialog/message.ts";
import { ConfigError } from "../errors/errors.ts";
import { JsonLinesLog } from "../formats/json-lines.ts";
import type { JsonObject } from "../formats/json.ts";
import type { AnswerSampler } from "../generate/answers.ts";
import { drawInstruction, holds, probes, type ConstraintLists } from "./constraints.ts";
import { sampledDialog, type InstructedDialog, type Placement } from "./dialogs.ts";

export interface SynthesisOptions {
  /** The questions of dialogs, in their order. */
  readonly asked: readonly (readonly string[])[];
  readonly lists: ConstraintLists;
  readonly dialogs: number;
  /** Fewest and most turns of a dialog. */
  readonly turns: readonly [number, number];
  /** K answers at each turn, of which the one that keeps to most constraints is taken. */
  readonly samples: number;
  readonly temperature: number;
  readonly placement: Placement;
  /** Whether an opening that no answer keeps to is put before the best: for models too small to obey by themselves. */
  readonly mendsOpenings: boolean;
  /** Whether dialogs whose last answer breaks a constraint are left out. The paper does not say that they are. */
  readonly keeps: "all" | "obedient";
  readonly seed: number;
}

export interface SynthesisInputs {
  readonly sampler: AnswerSampler;
  /** Whether a prompt and an answer to it fit into the context: a dialog ends before a turn that does not. */
  readonly fits: (prompt: Dialog) => boolean;
  /** The log. */
  readonly file: string;
  readonly origin: JsonObject;
  readonly onProgress?: (done: number, of: number) => void;
  readonly signal?: AbortSignal | undefined;
}

export interface Synthesis {
  readonly dialogs: readonly InstructedDialog[];
  /** Dialogs that outgrew the context: they end early, and are left out where not even one turn fits. */
  readonly outgrown: number;
}

/** @throws {ConfigError} when no dialog is left. */
export async function synthesise(options: SynthesisOptions, inputs: SynthesisInputs): Promise<Synthesis> {
  const plans = plannedDialogs(options);
  const total = plans.reduce((sum, { questions }) => sum + questions.length, 0);
  const { dialogs: count, turns, samples, temperature, placement, mendsOpenings, seed } = options;
  const header = {
    ...inputs.origin,
    dialogs: count,
    turns,
    samples,
    temperature,
    placement,
    mendsOpenings,
    seed,
    total,
  };
  using log = new JsonLinesLog(inputs.file, header);
  const known = new Map(log.earlier.map((line) => [line["block"], line["texts"] as (string | null)[]]));
  let done = 0;
  let dialogs: (InstructedDialog | undefined)[] = plans.map(({ instruction, questions }) => ({
    instruction,
    questions,
    answers: [],
  }));
  for (let turn = 0; turn < turns[1]; turn += 1) {
    const answers = new Map<number, string | null>();
    dialogs = dialogs.map((dialog) => dialog && withinContext(dialog, turn, options, inputs));
    const waiting = dialogs.flatMap((dialog, i) =>
      dialog !== undefined && turn < dialog.questions.length ? [{ i, dialog }] : [],
    );
    for (let from = 0; from < waiting.length; from += blockDialogs) {
      const block = `${turn} ${from}`;
      const together = waiting.slice(from, from + blockDialogs);
      const texts = known.get(block) ?? (await bestAnswers(together, turn, options, inputs));
      if (!known.has(block)) log.append({ block, texts });
      for (const [k, { i }] of together.entries()) answers.set(i, texts[k]!);
      inputs.onProgress?.((done += together.length), total);
    }
    dialogs = dialogs.map((dialog, i) => extended(dialog, turn, answers.get(i)));
  }
  const outgrown = plans.filter(
    ({ questions }, i) => (dialogs[i] ?? plans[i]!).questions.length < questions.length,
  );
  return { dialogs: keptDialogs(dialogs, options, outgrown.length), outgrown: outgrown.length };
}

// --- internal ---

function keptDialogs(
  dialogs: readonly (InstructedDialog | undefined)[],
  { keeps }: SynthesisOptions,
  outgrown: number,
): InstructedDialog[] {
  const answered = dialogs
    .filter((dialog) => dialog !== undefined)
    .filter(({ answers }) => answers.length > 0);
  const kept = keeps === "all" ? answered : answered.filter(isObedient);
  if (kept.length > 0) return kept;
  if (answered.length > 0) {
    throw new ConfigError(
      `none of ${answered.length} dialogs ends with an answer that keeps to its instruction`,
      {
        mend: "Sample more answers a turn (samples), or keep all dialogs (keep=all).",
      },
    );
  }
  if (outgrown === dialogs.length) {
    throw new ConfigError(`none of ${outgrown} dialogs fits into the model's context with a single turn`, {
      mend: "Give shorter questions or instructions, or lower max_tokens.",
    });
  }
  throw new ConfigError(`none of ${dialogs.length} dialogs was answered with a text that can be a turn`, {
    mend: "Give a model that was fine-tuned to chat, or sample more answers a turn (samples).",
  });
}

/** Dialogs that are answered together. */
const blockDialogs = 64;

type Plan = Omit<InstructedDialog, "answers">;

/** Instructions and questions. Dialogs are joined until there are turns enough; half of them end with a probe. */
function plannedDialogs({ asked, lists, dialogs, turns, seed }: SynthesisOptions): Plan[] {
  if (asked.length === 0) throw new ConfigError("there are no questions to ask");
  const random = createRandom(seed);
  return Array.from({ length: dialogs }, () => {
    const instruction = drawInstruction(lists, random);
    const length = turns[0] + random.int(turns[1] - turns[0] + 1);
    const questions = drawQuestions(asked, length, random);
    const probing = instruction.constraints.flatMap(({ kind }) => probes[kind] ?? []);
    const isProbed = random.int(2) === 0;
    if (isProbed && probing.length > 0) questions[length - 1] = probing[random.int(probing.length)]!;
    return { instruction, questions };
  });
}

function drawQuestions(asked: SynthesisOptions["asked"], length: number, random: Random): string[] {
  const questions: string[] = [];
  while (questions.length < length) questions.push(...asked[random.int(asked.length)]!);
  return questions.slice(0, length);
}

interface Waiting {
  readonly i: number;
  readonly dialog: InstructedDialog;
}

function promptAt(dialog: InstructedDialog, turn: number, placement: Placement): Dialog {
  return sampledDialog({ ...dialog, questions: dialog.questions.slice(0, turn + 1) }, placement);
}

/** The dialog, ended before a turn that the context has no room for. */
function withinContext(
  dialog: InstructedDialog,
  turn: number,
  { placement }: SynthesisOptions,
  { fits }: SynthesisInputs,
): InstructedDialog {
  if (turn >= dialog.questions.length || fits(promptAt(dialog, turn, placement))) return dialog;
  return { ...dialog, questions: dialog.questions.slice(0, turn) };
}

/** The best answer of each dialog; null where none can stand in a dialog. */
async function bestAnswers(
  waiting: readonly Waiting[],
  turn: number,
  options: SynthesisOptions,
  { sampler, signal }: SynthesisInputs,
): Promise<(string | null)[]> {
  const { samples, temperature, placement, turns, seed } = options;
  const base = createRandom(seed).int(2 ** 52);
  const requests = waiting.map(({ i, dialog }) => ({
    prompt: promptAt(dialog, turn, placement),
    temperature,
    seeds: Array.from({ length: samples }, (_, k) => base + (i * turns[1] + turn) * samples + k),
  }));
  const found = waiting.map(() => Array.from({ length: samples }, () => ""));
  for await (const { request, index, text } of sampler(requests, signal)) found[request]![index] = text;
  return waiting.map(({ dialog }, place) => {
    const best = bestOf(found[place]!, dialog, turn);
    if (best === undefined) return null;
    return options.mendsOpenings ? mended(best, dialog) : best;
  });
}

/** The answer that keeps to the most constraints, the first of equals. */
function bestOf(answers: readonly string[], dialog: InstructedDialog, turn: number): string | undefined {
  const question = dialog.questions[turn]!;
  const kept = (answer: string): number =>
    dialog.instruction.constraints.filter((constraint) => holds(constraint, question, answer) === true)
      .length;
  return answers
    .filter(isAnswer)
    .reduce<string | undefined>(
      (best, answer) => (best === undefined || kept(answer) > kept(best) ? answer : best),
      undefined,
    );
}

/** The answer, behind the openings that it should have. */
function mended(answer: string, { instruction }: InstructedDialog): string {
  return instruction.constraints
    .filter((constraint) => constraint.kind === "opening" && holds(constraint, "", answer) !== true)
    .reduce((text, { value }) => `${value}! ${text}`, answer);
}

/** A dialog that was left without an answer is none. */
function extended(
  dialog: InstructedDialog | undefined,
  turn: number,
  answer: unknown,
): InstructedDialog | undefined {
  if (dialog === undefined || turn >= dialog.questions.length) return dialog;
  return typeof answer === "string" ? { ...dialog, answers: [...dialog.answers, answer] } : undefined;
}

function isObedient({ instruction, questions, answers }: InstructedDialog): boolean {
  return instruction.constraints.every(
    (constraint) => holds(constraint, questions.at(-1)!, answers.at(-1)!) !== false,
  );
}
