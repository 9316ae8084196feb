/** `cria generate`: goes on with a text. */

import { randomInt } from "node:crypto";
import { createRandom } from "../../corpus/random.ts";
import { ConfigError } from "../../errors/errors.ts";
import type { ContextShift } from "../../generate/context-shift.ts";
import { generateText } from "../../generate/generate.ts";
import { loadModel } from "../../generate/loaded-model.ts";
import { checkTopLogprobs, type TokenLogprobs } from "../../generate/logprobs.ts";
import { checkSampling } from "../../generate/sampling.ts";
import {
  draftModel,
  promptLookup,
  requireSameVocabulary,
  type TokenProposer,
} from "../../generate/speculation.ts";
import { checkStopStrings } from "../../generate/stop-strings.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import { defineCommand } from "../command.ts";
import { contextShiftArguments, keptTokensOf } from "../context-shift-options.ts";
import { constraintOf, grammarArguments, grammarOf } from "../grammar-options.ts";
import { modelArguments, openModel, samplingArguments, samplingOf } from "../model-options.ts";
import { formatNumberOf } from "../terminal.ts";

export const generate = defineCommand({
  details:
    "Prints the prompt and what follows it, and nothing else, on standard output; speed goes to standard error. " +
    "The text ends where the model ends it, after N tokens, or where a context that does not shift is full.",
  args: {
    ...modelArguments,
    prompt: {
      type: "string",
      alias: "p",
      required: true,
      valueHint: "TEXT",
      description: "What to go on with",
    },
    tokens: {
      type: "string",
      as: "integer",
      min: 0,
      alias: "n",
      default: "256",
      valueHint: "N",
      description: "At most so many tokens",
    },
    stop: {
      type: "string",
      multiple: true,
      valueHint: "TEXT",
      description: "End the text before this; may be given again",
    },
    ...contextShiftArguments,
    ...grammarArguments,
    ...samplingArguments,
    lookup: {
      type: "string",
      as: "integer",
      min: 1,
      valueHint: "N",
      description: "Guess up to N tokens from the text so far, and read them at once",
    },
    draft: {
      type: "string",
      valueHint: "MODEL",
      description: "Guess by a smaller model with the same tokenizer",
    },
    logprobs: {
      type: "string",
      as: "integer",
      min: 0,
      valueHint: "N",
      description: "With --json: each token's log-probability, and the N most probable",
    },
    json: { type: "boolean", description: "One JSON object with the text, its tokens and the speed" },
  },
  examples: [
    'cria generate runs/speedrun/model -p "The people of the United States"',
    'cria generate stories15M.bin --tokenizer tokenizer.model -p "Once upon a time" -n 100 --temperature 0',
    'cria generate model.gguf -p "A character, as JSON: " --json-schema character.schema.json',
  ],
  async run(args, { stdout, stderr, signal }) {
    const sampling = samplingOf(args);
    checkSampling(sampling);
    checkStopStrings(args.stop);
    if (args.logprobs !== undefined) checkTopLogprobs(args.logprobs);
    const kept = keptTokensOf(args);
    const grammar = grammarOf(args);
    using model = await openModel(args, signal);
    const { tokenizer } = model;
    using guesses = await openProposer(args, tokenizer);
    const ids = [tokenizer.bosId, ...tokenizer.encode(args.prompt)];
    const random = createRandom(args.seed ?? randomInt(2 ** 31));
    const options = {
      ...sampling,
      maxTokens: args.tokens,
      stopIds: [tokenizer.eosId, tokenizer.bosId],
      ...constraintOf(grammar, model, args.prompt === ""),
      next: () => random.next(),
      stopStrings: args.stop,
      ...guesses.options,
      ...contextShiftOf(kept, ids.length),
      ...(args.logprobs === undefined ? {} : { topLogprobs: args.logprobs }),
    };
    const written: number[] = [];
    const logprobs: TokenLogprobs[] = [];
    let text = "";
    // With the first token, so that a prompt which is refused is not on standard output.
    let prompt = args.json ? "" : args.prompt;
    const start = performance.now();
    let first = start;
    const show = (piece: string): void => {
      text += piece;
      const shown = args.json ? "" : prompt + piece;
      prompt = "";
      if (shown !== "") stdout.write(shown);
    };
    // Ctrl-C ends the text, and what there is of it stands.
    for await (const event of generateText(model, ids, options, signal)) {
      if (event.type === "token") {
        if (written.length === 0) first = performance.now();
        written.push(event.id);
        if (event.logprobs !== undefined) logprobs.push(event.logprobs);
      }
      show(event.text);
    }
    const end = performance.now();
    // A terminal's prompt starts on a line of its own; a file gets the text alone.
    if (!args.json && stdout.isTTY === true) stdout.write("\n");
    const speed = {
      promptTokens: ids.length,
      promptTokensPerSecond: (1000 * ids.length) / (first - start),
      tokens: written.length,
      tokensPerSecond: written.length < 2 ? 0 : (1000 * (written.length - 1)) / (end - first),
    };
    const scores = args.logprobs === undefined ? {} : { logprobs };
    if (args.json)
      stdout.write(`${JSON.stringify({ prompt: args.prompt, text, ids: written, ...scores, ...speed })}\n`);
    stderr.write(
      `${formatNumberOf(ids.length, "prompt token")}, ${formatNumberOf(written.length, "token")}, ` +
        `${speed.tokensPerSecond.toFixed(1)} tokens/s\n`,
    );
  },
});

// --- internal ---

function contextShiftOf(
  kept: number | undefined,
  promptTokens: number,
): { readonly contextShift?: ContextShift } {
  return kept === undefined ? {} : { contextShift: { keep: Math.min(promptTokens, kept) } };
}

/** More are seldom all right, and each costs the draft a pass. */
const draftTokens = 5;

interface ProposerArguments {
  readonly draft: string | undefined;
  readonly lookup: number | undefined;
  readonly device: string;
  readonly threads: number | undefined;
}

interface Guesses extends Disposable {
  readonly options: { readonly proposer?: TokenProposer };
}

/** The caller disposes it. */
async function openProposer(args: ProposerArguments, tokenizer: Tokenizer): Promise<Guesses> {
  const { draft, lookup, device, threads } = args;
  if (draft === undefined) {
    const options = lookup === undefined ? {} : { proposer: promptLookup(lookup) };
    return { options, [Symbol.dispose]: () => {} };
  }
  if (lookup !== undefined)
    throw new ConfigError("--draft and --lookup both guess the next tokens", { mend: "Give one of them." });
  const model = await loadModel(draft, { device, ...(threads === undefined ? {} : { threads }) });
  try {
    requireSameVocabulary(tokenizer, model.tokenizer);
    const options = { proposer: draftModel(model.decoder, draftTokens) };
    return { options, [Symbol.dispose]: () => model[Symbol.dispose]() };
  } catch (error) {
    model[Symbol.dispose]();
    throw error;
  }
}
