/**
 * How long an instruction is kept to (Llama 2 §3.3, Table 30: attributes recalled at turns 2, 4, 6 and 20): it stands
 * at the first turn only, and at each turn the kind's probe is asked, or, where every answer shows the constraint, the
 * dialog's own question. Probes and their answers are not kept in the dialog. The criterion is a script (constraints.ts).
 */

import { createRandom } from "../corpus/random.ts";
import { isAnswer, type Dialog } from "../dialog/message.ts";
import type { AnswerSampler } from "../generate/answers.ts";
import {
  constraintKinds,
  holds,
  instructionOf,
  probes,
  type Constraint,
  type ConstraintKind,
  type ConstraintLists,
} from "./constraints.ts";
import { ghostDialog, type InstructedDialog, type Placement } from "./dialogs.ts";

export interface ConsistencyOptions {
  /** Questions of the dialogs. */
  readonly questions: readonly string[];
  readonly lists: ConstraintLists;
  /** Dialogs for each value of each kind. */
  readonly dialogs: number;
  /** How far each dialog goes. */
  readonly turns: number;
  readonly temperature: number;
  readonly placement: Placement;
  readonly seed: number;
}

export interface ConsistencyInputs {
  readonly sampler: AnswerSampler;
  /** Whether a dialog and its answer fit into the context: one that does not ends there. */
  readonly fits: (prompt: Dialog) => boolean;
  readonly onProgress?: (done: number, of: number) => void;
  readonly signal?: AbortSignal | undefined;
}

export interface TurnConsistency {
  readonly kind: ConstraintKind;
  /** From 1. */
  readonly turn: number;
  /** Dialogs that got so far. */
  readonly asked: number;
  /** Of these, those whose answer kept to the constraint. */
  readonly kept: number;
}

export async function consistency(
  options: ConsistencyOptions,
  inputs: ConsistencyInputs,
): Promise<TurnConsistency[]> {
  let tests = testsOf(options);
  const results: TurnConsistency[] = [];
  for (let turn = 1; turn <= options.turns && tests.length > 0; turn += 1) {
    tests = tests.filter((test) =>
      [ownQuestion(options, test, turn), ...(test.probe === undefined ? [] : [test.probe])].every(
        (question) => inputs.fits(promptOf(test.dialog, question, options)),
      ),
    );
    const answers = await answersAt(turn, tests, options, inputs);
    for (const kind of constraintKinds) {
      const kept = tests.flatMap(({ constraint, probe }, i) => {
        if (constraint.kind !== kind) return [];
        const { answer, probed } = answers[i]!;
        return [holds(constraint, probe ?? "", probed ?? answer) === true];
      });
      if (kept.length > 0)
        results.push({ kind, turn, asked: kept.length, kept: kept.filter(Boolean).length });
    }
    tests = tests.flatMap((test, i) => {
      const { answer } = answers[i]!;
      if (!isAnswer(answer)) return [];
      const questions = [...test.dialog.questions, ownQuestion(options, test, turn)];
      return [{ ...test, dialog: { ...test.dialog, questions, answers: [...test.dialog.answers, answer] } }];
    });
    inputs.onProgress?.(turn, options.turns);
  }
  return results;
}

export interface UnaskedShare {
  readonly asked: number;
  /** Of these, answers that show one of the constraints all the same. */
  readonly shown: number;
}

/** Answers to lone questions without an instruction, of which none should begin or speak as instructions ask for. */
export async function unasked(
  {
    questions,
    lists,
    temperature,
    seed,
  }: Pick<ConsistencyOptions, "questions" | "lists" | "temperature" | "seed">,
  { sampler, fits, signal }: Pick<ConsistencyInputs, "sampler" | "fits" | "signal">,
): Promise<UnaskedShare> {
  const constraints = constraintKinds.flatMap((kind) =>
    probes[kind] === undefined ? (lists[kind] ?? []).map((value) => ({ kind, value })) : [],
  );
  if (constraints.length === 0) return { asked: 0, shown: 0 };
  const base = createRandom(seed).int(2 ** 52);
  const prompts = questions.map((content): Dialog => [{ role: "user", content }]).filter(fits);
  const requests = prompts
    .slice(0, mostUnasked)
    .map((prompt, i) => ({ prompt, temperature, seeds: [base + i] }));
  let shown = 0;
  for await (const { text } of sampler(requests, signal))
    shown += constraints.some((constraint) => holds(constraint, "", text) === true) ? 1 : 0;
  return { asked: requests.length, shown };
}

// --- internal ---

/** Questions that are asked without an instruction. */
const mostUnasked = 200;

interface Test {
  readonly constraint: Constraint;
  readonly probe: string | undefined;
  /** Place of its first question. */
  readonly first: number;
  readonly dialog: InstructedDialog;
}

function testsOf({ lists, dialogs, questions, seed }: ConsistencyOptions): Test[] {
  const random = createRandom(seed);
  return constraintKinds.flatMap((kind) =>
    (lists[kind] ?? []).flatMap((value) =>
      Array.from({ length: dialogs }, (_, i): Test => {
        const constraint = { kind, value };
        const instruction = instructionOf([constraint], i % 2 === 0 ? "full" : "terse");
        const dialog = { instruction, questions: [], answers: [] };
        return { constraint, probe: probes[kind], first: random.int(questions.length), dialog };
      }),
    ),
  );
}

function ownQuestion({ questions }: ConsistencyOptions, { first }: Test, turn: number): string {
  return questions[(first + turn - 1) % questions.length]!;
}

function promptOf(dialog: InstructedDialog, question: string, { placement }: ConsistencyOptions): Dialog {
  return ghostDialog({ ...dialog, questions: [...dialog.questions, question] }, placement);
}

interface Answers {
  /** To the dialog's own question. */
  readonly answer: string;
  /** To the probe. */
  readonly probed: string | undefined;
}

async function answersAt(
  turn: number,
  tests: readonly Test[],
  options: ConsistencyOptions,
  { sampler, signal }: ConsistencyInputs,
): Promise<Answers[]> {
  const base = createRandom(options.seed + turn).int(2 ** 52);
  const asks = tests.flatMap((test, i) => {
    const { dialog, probe } = test;
    const own = { i, isProbe: false, question: ownQuestion(options, test, turn), dialog };
    return probe === undefined ? [own] : [own, { i, isProbe: true, question: probe, dialog }];
  });
  const requests = asks.map(({ dialog, question, i, isProbe }) => ({
    prompt: promptOf(dialog, question, options),
    temperature: options.temperature,
    seeds: [base + 2 * i + (isProbe ? 1 : 0)],
  }));
  const answers = tests.map((): { answer: string; probed: string | undefined } => ({
    answer: "",
    probed: undefined,
  }));
  for await (const { request, text } of sampler(requests, signal)) {
    const { i, isProbe } = asks[request]!;
    answers[i]![isProbe ? "probed" : "answer"] = text;
  }
  return answers;
}
