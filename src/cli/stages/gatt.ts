/** Ghost Attention as a stage of a run. */

import { readDialogs } from "../../dialog/readers.ts";
import { encodeDialog, encodePrompt, type Example } from "../../dialog/llama2-chat.ts";
import { attentionOn, binned, greatestAttention } from "../../gatt/attention-map.ts";
import { filledRows, ghostDialog, type InstructedDialog } from "../../gatt/dialogs.ts";
import { ghostAttention, type GattEvent, type GattOptions, type GattOutcome } from "../../gatt/gatt.ts";
import type { GattRecipe } from "../../gatt/recipe.ts";
import { openWeights, readModelFiles } from "../../model/load.ts";
import { tokenizerOfModel } from "../../tokenizer/open.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import { Progress } from "../progress.ts";
import { formatNumberOf } from "../terminal.ts";
import { openAnswerSampler } from "./answers.ts";
import { checkDialogFiles, checkLength } from "./checks.ts";
import { openStageBackend, type StageContext } from "./context.ts";
import type { StagePaths } from "./paths.ts";
import { tuneOnExamples } from "./sft.ts";

export interface GattStageOutcome extends Omit<GattOutcome, "shown"> {
  readonly metricsFile: string;
  readonly attention: readonly AttentionMap[];
}

/** Where a model looks along one dialog. */
export interface AttentionMap {
  readonly when: "before" | "after";
  /** Greatest attention of bins of tokens to bins of tokens before them. */
  readonly cells: readonly (readonly number[])[];
  /** Tokens in a bin. */
  readonly bin: number;
  /** Bins that the first turn's instruction fills, from the left. */
  readonly instruction: number;
  /** Mean over the last answer's tokens of the greatest attention to any of the instruction's. */
  readonly onInstruction: number;
}

/** @throws the signal's reason when it is aborted; the next call goes on. */
export async function gattStage(
  recipe: Omit<GattRecipe, "out">,
  paths: StagePaths,
  context: StageContext,
): Promise<GattStageOutcome> {
  const { config } = readModelFiles(recipe.model);
  checkLength({ model: recipe.model, seq_len: recipe.sft.seq_len });
  checkDialogFiles(recipe.beside);
  const tokenizer = tokenizerOfModel(recipe.model, config.vocabSize);
  using bar = new GattBar(context);
  let metricsFile = "";
  const outcome = await ghostAttention(optionsOf(recipe), {
    policy: recipe.model,
    tokenizer,
    openSampler: (model, use) => ({
      ...openAnswerSampler(model, use === "synthesis" ? recipe : { ...recipe, ...recipe.consistency }),
      fits: (prompt) => encodePrompt(prompt, tokenizer).length + recipe.max_tokens <= config.maxSeqLen,
    }),
    fineTune: async (examples) => {
      bar.end();
      const held = Math.floor(examples.length * recipe.sft.validation_fraction);
      const beside = besideRows(recipe, tokenizer);
      const sets = {
        tokenizer,
        train: [...examples.slice(held), ...beside],
        heldOut: examples.slice(0, held),
      };
      const tuned = await tuneOnExamples({ ...recipe.sft, model: recipe.model }, sets, paths, context);
      metricsFile = tuned.metricsFile;
      return tuned.checkpoint;
    },
    folder: paths.folder,
    origin: { questions: recipe.questions, top_p: recipe.top_p, max_tokens: recipe.max_tokens },
    onEvent: (event) => bar.show(event),
    signal: context.signal,
  });
  const { shown, ...rest } = outcome;
  const map = (when: "before" | "after", model: string): Promise<AttentionMap> =>
    attentionMap({ when, model, shown }, recipe, tokenizer);
  const attention = [await map("before", recipe.model), await map("after", outcome.checkpoint)];
  return { ...rest, metricsFile, attention };
}

// --- internal ---

function optionsOf(recipe: Omit<GattRecipe, "out">): GattOptions {
  const { placement, dialogs, turns, samples, temperature, keep, seed } = recipe;
  const asked = readDialogs(recipe.questions).dialogs.map((dialog) =>
    dialog.filter(({ role }) => role === "user").map(({ content }) => content),
  );
  const { turns: measuredTurns, dialogs: measuredDialogs, temperature: measuredAt } = recipe.consistency;
  return {
    synthesis: {
      asked,
      dialogs,
      turns,
      samples,
      temperature,
      placement,
      mendsOpenings: recipe.mend_openings,
      keeps: keep,
      seed,
    },
    measurement: {
      questions: asked.map((questions) => questions[0]!),
      dialogs: measuredDialogs,
      turns: measuredTurns,
      temperature: measuredAt,
      placement,
      // Other questions first, and other draws, than those of training.
      seed: seed + 1,
    },
    lists: recipe.constraints,
    askedForLists: recipe.asked_for_lists,
    seqLen: recipe.sft.seq_len,
  };
}

/** The dialogs without an instruction, several to a row. */
function besideRows({ beside, sft }: Pick<GattRecipe, "beside" | "sft">, tokenizer: Tokenizer): Example[] {
  const examples = beside.flatMap((file) =>
    readDialogs(file).dialogs.map((dialog) => encodeDialog(dialog, tokenizer)),
  );
  return filledRows(examples, sft.seq_len, tokenizer.eosId);
}

/** Of a dialog of the synthesis, as it is trained on: the instruction at the first turn only. */
async function attentionMap(
  { when, model, shown }: { when: "before" | "after"; model: string; shown: InstructedDialog },
  recipe: Omit<GattRecipe, "out">,
  tokenizer: Tokenizer,
): Promise<AttentionMap> {
  const files = readModelFiles(model);
  const dialog = ghostDialog(shown, recipe.placement);
  const { tokens, lossMask } = encodeDialog(dialog, tokenizer);
  const length = Math.min(tokens.length, files.config.maxSeqLen);
  const opening = instructionTokens(shown, recipe, tokenizer);
  // The last answer: the run of trained tokens at the end.
  let start = length;
  while (start > 1 && lossMask[start - 1] === 1) start -= 1;
  using backend = openStageBackend(recipe);
  using weights = openWeights(backend, files, { repack: false });
  const map = await greatestAttention(backend, weights, tokens.slice(0, length));
  const bin = Math.ceil(length / 60);
  return {
    when,
    cells: binned(map, length, bin).map((row) => row.map((value) => Math.round(value * 1000) / 1000)),
    bin,
    instruction: Math.ceil(opening / bin),
    // BOS takes what attention finds no use for, so it is not the instruction's.
    onInstruction: attentionOn(map, length, { queries: [start, length], keys: [1, opening] }),
  };
}

/** How many of the dialog's first tokens are the tags and the instruction. */
function instructionTokens(
  shown: InstructedDialog,
  { placement }: Pick<GattRecipe, "placement">,
  tokenizer: Tokenizer,
): number {
  const tags = placement === "system" ? "[INST] <<SYS>>\n" : "[INST] ";
  return 1 + tokenizer.encode(tags + shown.instruction.text).length;
}

const labels = { sampling: "Synthesising", measuring: "Measuring" } as const;
const units = { sampling: "answers", measuring: "turns" } as const;

class GattBar implements Disposable {
  readonly #context: StageContext;
  #bar: Progress | undefined;
  #type = "";

  constructor(context: StageContext) {
    this.#context = context;
  }

  show(event: GattEvent): void {
    const { stderr } = this.#context;
    if (event.type === "synthesised") {
      this.end();
      const { dialogs, outgrown, examples } = event;
      if (outgrown > 0) {
        const count = formatNumberOf(outgrown, "dialog");
        stderr.write(`${count} ended early: with the instruction at every turn the context was full\n`);
      }
      stderr.write(`${formatNumberOf(dialogs, "dialog")}, of which ${examples} fit into seq_len\n`);
      return;
    }
    if (this.#bar === undefined || event.type !== this.#type) {
      this.end();
      this.#type = event.type;
      const [label, unit] = [labels[event.type], units[event.type]];
      this.#bar = new Progress({ label, total: event.of, unit, stream: stderr });
    }
    this.#bar.update({ done: event.done });
  }

  end(): void {
    this.#bar?.end();
    this.#bar = undefined;
  }

  [Symbol.dispose](): void {
    this.end();
  }
}
