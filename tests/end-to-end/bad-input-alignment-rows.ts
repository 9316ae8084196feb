/** What a user may get wrong of the stages that align a model, and of annotation. */

import type { Row } from "./bad-input-rows.ts";

/** A row's words: a command on the recipe of its name, changed. */
const align = (command: string, ...changes: string[]): string[] => [
  command,
  `${command}.yaml`,
  "--name",
  `bad-${command}-${changes.join(" ").replaceAll(/[^a-z0-9]+/g, "-")}`,
  ...changes.flatMap((change) => ["--set", change]),
];
const annotate = (...words: string[]): string[] => ["annotate", "model@0.5", "model@1", ...words];
const noModel =
  "there is no model at absent\n  Give a model's directory, a .gguf file or a llama2.c .bin file.";
const noFile = "absent.jsonl: no such file\n  Check the path.";
const scores =
  "scores: the model scores answers (it is a LlamaForSequenceClassification) and writes none\n  Give a chat model here; `cria reward score` takes this one.";
const writes =
  "model: the model has no head that scores: it predicts the next token\n  Give a reward model, as `cria reward` makes them of a chat model.";
const noReward =
  "there is nothing to score answers with\n  Set reward.helpfulness and reward.safety to reward models, or give a function by --reward FILE.js.";
const noFunction =
  "five.js has no function as its default export\n  Write `export default function reward(…) {…}`.";
const tooLong = (seqLen: number): string =>
  `seq_len (${seqLen}) is more than the model's context of 64\n  Set seq_len to 64 or less.`;
const full =
  'the prompt that asks "aa aa aa aa aa aa aa aa aa aa aa aa aa a" has 216 tokens, and the model a context of 64\n  Leave it out, or shorten it.';
const noTokens =
  "the tokenizer of small has 262 pieces, the model 200\n  Give the model's own tokenizer with --tokenizer.";

export const alignment: readonly Row[] = [
  ["a sampler that is not there", align("reject", "sampler=absent"), noModel],
  ["a reward model as the sampler", align("reject", "sampler=scores"), scores],
  ["a sampler with another tokenizer than its own", align("reject", "sampler=small"), noTokens],
  ["no reward to reject by", align("reject", "reward={}"), noReward],
  ["a chat model as the reward", align("reject", "reward={helpfulness: model}"), writes],
  ["a reward that is no function", align("reject", "reward.file=five.js"), noFunction],
  ["prompts that fill the context", align("reject", "prompts=long.jsonl"), full],
  ["dialogs to train on beside that are not there", align("reject", "beside=[absent.jsonl]"), noFile],
  [
    "more samples than anyone can read",
    align("reject", "samples=100000000"),
    "--set samples=100000000: samples is 100000000, not a whole number of at least 1 and at most 10000\n  Set samples to a whole number of at least 1 and at most 10000. The default is 10.",
  ],
  [
    "a temperature at which all tokens are alike",
    align("reject", "temperatures=[1e9]"),
    "--set temperatures=[1e9]: temperatures.0 is 1000000000, not a number of at least 0 and at most 10\n  Set temperatures.0 to a number of at least 0 and at most 10.",
  ],
  ["rows longer than the context, of winners", align("reject", "sft.seq_len=65"), tooLong(65)],
  [
    "no safety prompts to distil",
    align("distil", "prompts=asks.jsonl"),
    'none of the prompts is tagged as a safety prompt\n  Write "safety": true for prompts that may provoke unsafe answers.',
  ],
  [
    "preprompts that are none",
    align("distil", "preprompts=nonsense.jsonl"),
    'nonsense.jsonl: line 1: "text" is missing, not text\n  Give "text" as a JSON string.',
  ],
  ["a policy that is not there", align("ppo", "model=absent"), noModel],
  ["a reward model as the policy", align("ppo", "model=scores"), scores],
  ["no reward to optimise", align("ppo", "reward={}"), noReward],
  [
    "answers as long as the context",
    align("ppo", "max_tokens=64"),
    "max_tokens (64) leaves no room for a prompt in a context of 64\n  Set max_tokens to less than 64, by as much as the longest prompt needs.",
  ],
  [
    "prompts that leave no room",
    align("ppo", "prompts=long.jsonl"),
    "none of 1 prompts has at most 56 tokens\n  The prompt and max_tokens of an answer must fit into the model's context: give shorter prompts, or lower max_tokens.",
  ],
  [
    "a value function that reads other tokens than the policy",
    align("ppo", "reward={helpfulness: foreign}"),
    "the tokenizers of model and foreign differ: the value function, which starts as the reward model, reads the policy's tokens\n  Give models that were made of one and the same.",
  ],
  [
    "fewest turns above the most",
    align("gatt", "turns=[3, 1]"),
    "--set turns=[3, 1]: the fewest turns are more than the most\n  Give the fewest first, such as [2, 6].",
  ],
  [
    "instructions of nothing",
    align("gatt", "constraints={hobby: [], language: [], figure: []}"),
    "there are no constraints to make instructions of\n  Give at least one hobby, language, figure or opening.",
  ],
  ["dialogs beside haunted ones that are not there", align("gatt", "beside=[absent.jsonl]"), noFile],
  ["rows longer than the context, of dialogs", align("gatt", "sft.seq_len=65"), tooLong(65)],
  [
    "answers too long for any dialog",
    align("gatt", "max_tokens=64"),
    "none of 2 dialogs fits into the model's context with a single turn\n  Give shorter questions or instructions, or lower max_tokens.",
  ],
  ["a chat model that is not there, to score", align("reward", "model=absent"), noModel],
  ["a reward model of a reward model", align("reward", "model=scores"), scores],
  [
    "comparisons that are none",
    align("reward", "data=[asks.jsonl]"),
    "asks.jsonl: the first record's keys (messages) are of no known format of preferences\n  Give every record the keys (chosen, rejected), (prompt, chosen, rejected), (conversations, chosen, rejected) or (instruction, output_1, output_2, preference).",
  ],
  ["conversations longer than the context", align("reward", "seq_len=65"), tooLong(65)],
  [
    "a margin of no table",
    align("reward", "margin=huge"),
    '--set margin=huge: margin is "huge", not "none" or "small" or "large"\n  Set margin to "none" or "small" or "large". The default is "small".',
  ],
  [
    "versions of one name",
    align("rlhf", "versions=[{name: V1, stages: []}, {name: V1, stages: []}]"),
    "two versions are called V1\n  Give each a name of its own.",
  ],
  [
    "reward models of nothing",
    align("rlhf", "versions=[{name: V1, stages: [reward]}]"),
    "V1 trains reward models, and there are no preferences by then\n  List collect before reward, or name files under preferences.",
  ],
  ["rows longer than the context, in a version", align("rlhf", "reward.seq_len=65"), tooLong(65)],
  ["held-out prompts that fill the context", align("rlhf", "held_out=long.jsonl"), full],
  [
    "a version's preferences that are not there",
    align("rlhf", "versions=[{name: V1, stages: [], preferences: [absent.jsonl]}]"),
    noFile,
  ],
  [
    "versions that restart from a model of other tokens",
    align("rlhf", "restart=stranger"),
    "the tokenizers of model and stranger differ: versions are compared token by token with where they started\n  Give models that were made of one and the same.",
  ],
  [
    "a judge that is no function",
    annotate("--judge", "five.js", "--prompts", "asks.jsonl"),
    "five.js has no function as its default export\n  Write `export default function judge(…) {…}`.",
  ],
  ["a judge that is a chat model", annotate("--judge", "model", "--prompts", "asks.jsonl"), writes],
  [
    "prompts to judge by that fill the context",
    annotate("--judge", "length.js", "--prompts", "long.jsonl"),
    full,
  ],
  [
    "a judge without prompts",
    annotate("--judge", "length.js"),
    "--judge needs prompts to be answered\n  Give --prompts FILE.",
  ],
  [
    "more repeated items than there are",
    annotate("--overlap", "3"),
    "--overlap 3 is more than half of the items\n  Give a share from 0 to 0.5.",
  ],
  ["a reward model to compare", ["annotate", "scores@0.5", "model@1"], scores],
];
