/**
 * The table of commands: a line each. A command's file is imported only when the command is run or explained, so
 * that `cria --help` is quick and the commands on text load no native code.
 */

import type { Command } from "./command.ts";

export const commandGroups = ["Make a model", "Use a model", "Look inside"] as const;

export interface CommandRow {
  /** As typed after `cria`, such as "tokenizer train". */
  readonly name: string;
  readonly group: (typeof commandGroups)[number];
  /** One line, a verb first. */
  readonly summary: string;
  readonly load: () => Promise<Command>;
}

export const commandRows: readonly CommandRow[] = [
  {
    name: "speedrun",
    group: "Make a model",
    summary: "From raw text to a chat model, in one command",
    load: async () => (await import("./commands/speedrun.ts")).speedrun,
  },
  {
    name: "corpus prepare",
    group: "Make a model",
    summary: "Clean text, hold some out, encode it into token shards",
    load: async () => (await import("./commands/corpus.ts")).corpusPrepare,
  },
  {
    name: "tokenizer train",
    group: "Make a model",
    summary: "Learn a vocabulary from text",
    load: async () => (await import("./commands/tokenizer.ts")).tokenizerTrain,
  },
  {
    name: "pretrain",
    group: "Make a model",
    summary: "Train a base model on text",
    load: async () => (await import("./commands/pretrain.ts")).pretrainCommand,
  },
  {
    name: "sft",
    group: "Make a model",
    summary: "Fine-tune a model on conversations",
    load: async () => (await import("./commands/sft.ts")).sftCommand,
  },
  {
    name: "annotate",
    group: "Make a model",
    summary: "Collect preferences between answers of two models",
    load: async () => (await import("./commands/annotate.ts")).annotate,
  },
  {
    name: "preferences export",
    group: "Make a model",
    summary: "Write what was annotated or imported as training data",
    load: async () => (await import("./commands/preferences-export.ts")).preferencesExport,
  },
  {
    name: "preferences import",
    group: "Make a model",
    summary: "Check and split published preferences into sets",
    load: async () => (await import("./commands/preferences-import.ts")).preferencesImport,
  },
  {
    name: "reject",
    group: "Make a model",
    summary: "Fine-tune on the best of many answers",
    load: async () => (await import("./commands/reject.ts")).rejectCommand,
  },
  {
    name: "ppo",
    group: "Make a model",
    summary: "Train a model by the rewards of its answers",
    load: async () => (await import("./commands/ppo.ts")).ppoCommand,
  },
  {
    name: "gatt",
    group: "Make a model",
    summary: "Make instructions hold through a dialog",
    load: async () => (await import("./commands/gatt.ts")).gattCommand,
  },
  {
    name: "distil",
    group: "Make a model",
    summary: "Teach without it what a safety preprompt brings",
    load: async () => (await import("./commands/distil.ts")).distilCommand,
  },
  {
    name: "trade-off",
    group: "Look inside",
    summary: "Measure what safety data cost in helpfulness",
    load: async () => (await import("./commands/trade-off.ts")).tradeOffCommand,
  },
  {
    name: "rlhf",
    group: "Make a model",
    summary: "Improve a chat model version by version, by preferences",
    load: async () => (await import("./commands/rlhf.ts")).rlhfCommand,
  },
  {
    name: "reward score",
    group: "Use a model",
    summary: "Score answers with a reward model",
    load: async () => (await import("./commands/reward-score.ts")).rewardScore,
  },
  {
    name: "reward",
    group: "Make a model",
    summary: "Train a reward model on comparisons",
    load: async () => (await import("./commands/reward.ts")).rewardCommand,
  },
  {
    name: "pull",
    group: "Use a model",
    summary: "Fetch a model from the Hugging Face Hub",
    load: async () => (await import("./commands/pull.ts")).pull,
  },
  {
    name: "convert",
    group: "Use a model",
    summary: "Write a model in another format or with fewer bits",
    load: async () => (await import("./commands/convert.ts")).convert,
  },
  {
    name: "chat",
    group: "Use a model",
    summary: "Talk with a model in the terminal",
    load: async () => (await import("./commands/chat.ts")).chat,
  },
  {
    name: "generate",
    group: "Use a model",
    summary: "Go on with a text",
    load: async () => (await import("./commands/generate.ts")).generate,
  },
  {
    name: "serve",
    group: "Use a model",
    summary: "Answer over HTTP, as OpenAI's API does",
    load: async () => (await import("./commands/serve.ts")).serve,
  },
  {
    name: "tokenizer encode",
    group: "Use a model",
    summary: "Turn text into token ids, line by line",
    load: async () => (await import("./commands/tokenizer.ts")).tokenizerEncode,
  },
  {
    name: "tokenizer decode",
    group: "Use a model",
    summary: "Turn token ids back into text",
    load: async () => (await import("./commands/tokenizer.ts")).tokenizerDecode,
  },
  {
    name: "inspect",
    group: "Look inside",
    summary: "Show what a model, tokenizer or corpus file holds",
    load: async () => (await import("./commands/inspect.ts")).inspect,
  },
  {
    name: "evaluate perplexity",
    group: "Look inside",
    summary: "Measure how well a model predicts a text",
    load: async () => (await import("./commands/evaluate.ts")).evaluatePerplexity,
  },
  {
    name: "evaluate quantisation",
    group: "Look inside",
    summary: "Measure what fewer bits a weight cost, type by type",
    load: async () => (await import("./commands/quantisation.ts")).evaluateQuantisation,
  },
  {
    name: "preferences stats",
    group: "Look inside",
    summary: "Count preferences: lengths, strengths, safety, judges",
    load: async () => (await import("./commands/preferences-stats.ts")).preferencesStats,
  },
  {
    name: "doctor",
    group: "Look inside",
    summary: "Show what this machine can do",
    load: async () => (await import("./commands/doctor.ts")).doctor,
  },
];
