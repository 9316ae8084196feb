/** What a user may get wrong, and what they are told: a row for each, run by bad-input.test.ts in a folder of its own. */

import { mixNames } from "../../src/model/quantisation-mix.ts";

export type Row = readonly [title: string, words: readonly string[], message: string, code?: number];

const ask = ["-p", "a", "-n", "1"];
export const damaged =
  "\n  The file is damaged, was cut short or is of another kind: fetch or copy it again.";
const cutShort = "\n  The file is damaged or its download was cut short: fetch it again.";
const refetch = "\n  The file is damaged, or of another kind: fetch it again.";
const pretrain = (...changes: string[]): string[] => [
  "pretrain",
  "tiny.yaml",
  "--name",
  "bad",
  ...changes.flatMap((change) => ["--set", change]),
];
const tune = (...changes: string[]): string[] => [
  "sft",
  "tune.yaml",
  "--name",
  "bad-tuning",
  ...changes.flatMap((change) => ["--set", change]),
];

export const models: readonly Row[] = [
  [
    "weights that were cut short",
    ["generate", "cut", ...ask],
    `cut/model.safetensors, byte 8: tensor "model.layers.0.mlp.gate_proj.weight": its data ends at byte 56384, the file at 50000${damaged}`,
  ],
  [
    "weights without a header",
    ["generate", "headless", ...ask],
    `headless/model.safetensors: 4 bytes are too few for a safetensors file${damaged}`,
  ],
  [
    "a header that would fill all memory",
    ["generate", "hostile", ...ask],
    "hostile/model.safetensors, byte 0: a header of 1152921504606846976 bytes, over the limit of 100000000\n  This is not a safetensors file, or its start is damaged.",
  ],
  [
    "config.json that is not JSON",
    ["generate", "not-json", ...ask],
    `not-json/config.json, byte 0: not JSON: Expected property name or '}' in JSON at position 1${damaged}`,
  ],
  [
    "config.json that is not JSON, looked at",
    ["inspect", "not-json"],
    `not-json/config.json, byte 0: not JSON: Expected property name or '}' in JSON at position 1${damaged}`,
  ],
  [
    "a folder without config.json",
    ["generate", "no-config", ...ask],
    "no-config/config.json does not exist\n  There is no such name in no-config.",
  ],
  [
    "a folder without weights",
    ["generate", "no-weights", ...ask],
    "no-weights has neither model.safetensors nor model.safetensors.index.json\n  Give the directory of a model in Hugging Face's layout.",
  ],
  [
    "a folder without a tokenizer",
    ["generate", "no-tokenizer", ...ask],
    "no-tokenizer holds no tokenizer.model\n  Copy the tokenizer.model that belongs to the model into it.",
  ],
  [
    "a tokenizer that was cut short",
    ["generate", "cut-tokenizer", ...ask],
    `cut-tokenizer/tokenizer.model, byte 997: field 1 says it is 15 bytes long, 1 are left${refetch}`,
  ],
  [
    "a tokenizer of another model",
    ["generate", "small", ...ask],
    "the tokenizer of small has 262 pieces, the model 200\n  Give the model's own tokenizer with --tokenizer.",
  ],
  [
    "a model of another kind",
    ["generate", "gpt", ...ask],
    'gpt/config.json: model_type is "gpt2", which Cria cannot run\n  Cria reads models of the Llama 1 and 2 shape.',
  ],
  [
    "weights of another shape than config.json says",
    ["generate", "other-shape", ...ask],
    "other-shape/model.safetensors, byte 2112: model.embed_tokens.weight has shape [262, 32] where the configuration says [262, 64]\n  The weights and the configuration are of different models: fetch both again.",
  ],
  [
    "a model that is not there",
    ["chat", "absent"],
    "there is no model at absent\n  Give a model's directory, a .gguf file or a llama2.c .bin file.",
  ],
  [
    "a misspelt file",
    ["generate", "cutt.gguf", ...ask],
    "cutt.gguf does not exist\n  Did you mean cut.gguf?",
  ],
  [
    "a GGUF file that was cut short",
    ["generate", "cut.gguf", ...ask],
    `cut.gguf, byte 4: the version: 4 bytes are announced, 0 are left${cutShort}`,
  ],
  [
    "a GGUF file of more tensors than there are atoms in reach",
    ["inspect", "hostile.gguf"],
    `hostile.gguf, byte 8: the number of tensors: 4611686018427387904 is beyond 2^53${damaged}`,
  ],
  [
    "text under a GGUF file's name",
    ["generate", "text.gguf", ...ask],
    `text.gguf, byte 0: not a GGUF file: it does not start with GGUF${damaged}`,
  ],
  [
    "a llama2.c file that was cut short",
    ["inspect", "cut.bin"],
    `cut.bin, byte 8: the header: 4 bytes are announced, 2 are left${cutShort}`,
  ],
  [
    "a llama2.c file with sizes that cannot be",
    ["generate", "hostile.bin", ...ask],
    "hostile.bin, byte 0: dim 1073741824, hiddenDim 1073741824, nLayers 1073741824, nHeads 1073741824, nKvHeads 1073741824, vocabSize 1073741824, maxSeqLen 1073741824 is no Llama\n  This is not a llama2.c model file, or its start is damaged.",
  ],
  [
    "text under a tokenizer's name",
    ["tokenizer", "encode", "text.model", "a"],
    `text.model, byte 0: field 13 has wire type 6, which is not supported${refetch}`,
  ],
  [
    "an empty tokenizer",
    ["inspect", "void.model"],
    "void.model, byte 0: a SentencePiece model with no pieces\n  Check that this is a tokenizer.model file and that the download is complete.",
  ],
];

export const conversion: readonly Row[] = [
  [
    "a type of weights that is none",
    ["convert", "model", "out.gguf", "--type", "q9"],
    `no type of weights is called "q9"\n  There are ${mixNames().join(", ")}.`,
  ],
  [
    "quantised weights in a folder",
    ["convert", "model", "out", "--type", "q8_0"],
    "a Hugging Face directory does not hold q8_0 weights\n" +
      "  Name a .gguf file to write, or choose f32, f16 or bf16.",
  ],
  [
    "a place that is not there",
    ["convert", "model", "absent/out.gguf"],
    "absent/out.gguf cannot be written: there is no such directory\n  Create the directory first.",
  ],
  [
    "PyTorch's weights without their shape",
    ["generate", "weights.pth", ...ask],
    "weights.pth is a PyTorch file, which has the weights and not the model's shape\n" +
      "  Give the folder it lies in, with its config.json or params.json.",
  ],
];

export const sampling: readonly Row[] = [
  [
    "a bias that is none",
    ["generate", "model", ...ask, "--logit-bias", "5"],
    '--logit-bias is "5", not a token\'s id, an equals sign and a number\n' +
      "  Write for instance --logit-bias 15043=-5, or 15043=-inf to ban the token.",
  ],
  [
    "half of mirostat",
    ["generate", "model", ...ask, "--mirostat-eta", "1"],
    "--mirostat-eta 1 corrects towards no --mirostat-tau\n  Give --mirostat-tau too, for instance 5.",
  ],
  [
    "a stop string of nothing",
    ["generate", "model", ...ask, "--stop", ""],
    "a stop string is empty\n  Leave it out: it would end any text at once.",
  ],
];

export const usage: readonly Row[] = [
  [
    "the length of compared answers where none are compared",
    ["serve", "model", "--answer-tokens", "9"],
    "--answer-tokens is of the annotation page, and there is none\n  Give --annotate DIR too.",
  ],
  [
    "compared answers that are longer than the server gives",
    ["serve", "model", "--annotate", "store", "--api-key", "k", "--answer-tokens", "9", "--max-tokens", "5"],
    "--answer-tokens 9 is more than the server's --max-tokens 5\n  Give --max-tokens 9 too, or fewer --answer-tokens.",
  ],
  [
    "a prompt longer than the context",
    ["generate", "model", "-p", "x".repeat(300), "-n", "1"],
    "302 tokens do not fit into the context of 64\n  Shorten the prompt, or ask for fewer tokens.",
  ],
  [
    "a context that no machine has the memory for",
    ["generate", "model", ...ask, "--context", "99999999999"],
    'arena "kv cache" needs N MiB, N MiB are free\n  Use a smaller model, batch or context, or close other programs.',
  ],
  [
    "a device that is not there",
    ["generate", "model", ...ask, "--device", "tpu"],
    'there is no device "tpu"\n  Choose one of: cpu, auto, CPU.',
  ],
  [
    "no threads",
    ["generate", "model", ...ask, "--threads", "0"],
    '--threads is "0", not a whole number of at least 1\n  Write for instance --threads 1.',
    2,
  ],
  [
    "too many threads",
    ["generate", "model", ...ask, "--threads", "100000"],
    "threads (100000) is not an integer from 1 to 512\n  Leave it out to use N, the processors of this machine.",
  ],
  [
    "a top-p of nothing",
    ["generate", "model", ...ask, "--top-p", "0"],
    "top-p (0) does not lie in (0, 1]\n  1 turns it off.",
  ],
  [
    "a missing option",
    ["generate", "model"],
    "--prompt is missing: What to go on with\n  `cria generate --help` lists what it takes.",
    2,
  ],
  [
    "an option without its value",
    ["chat", "model", "--system"],
    "--system wants a value\n  Write --system TEXT. `cria chat --help` lists what it takes.",
    2,
  ],
  [
    "a misspelt command",
    ["docter"],
    'there is no command "docter"\n  Did you mean `cria doctor`? `cria --help` lists the commands.',
    2,
  ],
  [
    "a text file that is not there",
    ["evaluate", "perplexity", "model", "absent.txt"],
    "absent.txt does not exist\n  There is no such name in this directory.",
  ],
  [
    "an empty text",
    ["evaluate", "perplexity", "model", "void.txt"],
    "the text is empty\n  Give a file with text in it.",
  ],
  [
    "a token that the tokenizer has not",
    ["tokenizer", "decode", "model", "99999"],
    "token id 99999 is not one of this tokenizer's, which are 0 to 261\n  Use the tokenizer that belongs to the model.",
  ],
  [
    "no text to train a tokenizer on",
    ["tokenizer", "train", "void.txt", "--out", "t.model"],
    "there is no text to train a tokenizer on\n  Check that the corpus is not empty.",
  ],
  [
    "a vocabulary larger than the text",
    ["tokenizer", "train", "text.txt", "--out", "t.model", "--vocab-size", "100000"],
    "the text is too small for a vocabulary of 100000: it gives N pieces\n  Set the vocabulary size to N or less, or train on more text.",
  ],
  [
    "a file where a directory is to be",
    ["corpus", "prepare", "--out", "text.txt", "-s", "books", "--set", "tokenizer.vocab_size=300"],
    "text.txt cannot be written: a file has that name\n  Move the file away or choose another name.",
  ],
];

export const training: readonly Row[] = [
  [
    "versions that restart from a model that is not there",
    ["rlhf", "align.yaml", "--name", "bad-versions", "--set", "restart=base"],
    "there is no model at base\n  Give a model's directory, a .gguf file or a llama2.c .bin file.",
  ],
  [
    "versions without held-out prompts",
    ["rlhf", "align.yaml", "--name", "bad-versions-2", "--set", "held_out=away.jsonl"],
    "away.jsonl: no such file\n  Check the path.",
  ],
  [
    "a misspelt setting",
    pretrain("warm_up_steps=3"),
    '--set warm_up_steps=3: no setting is called "warm_up_steps"\n  Did you mean warmup_steps?',
  ],
  [
    "no steps",
    pretrain("steps=0"),
    "--set steps=0: steps is 0, not a whole number above 0\n  Set steps to a whole number above 0.",
  ],
  [
    "steps and minutes",
    pretrain("minutes=1"),
    "--set minutes=1: steps and minutes are both set, and each says how long to train\n  Keep one of steps, minutes.",
  ],
  [
    "a sequence longer than the context",
    pretrain("seq_len=64"),
    "seq_len (64) is more than the model's context of 32\n  Set seq_len to 32 or less, or model.max_seq_len to 64.",
  ],
  [
    "a shape that cannot be",
    pretrain("model.n_heads=3"),
    "dim (32) is not a multiple of n_heads (3)\n  Set n_heads to a divisor of 32, or give head_dim.",
  ],
  [
    "a shape that no machine has the memory for",
    pretrain("model={dim: 16384, n_layers: 80, n_heads: 128, max_seq_len: 32}"),
    'arena "weights" needs N MiB, N MiB are free\n  Use a smaller model, batch or context, or close other programs.',
  ],
  [
    "a warm-up longer than the run",
    pretrain("warmup_steps=100"),
    "warmup_steps (100) is more than the run's 3 steps\n  Set warmup_steps to a tenth of the run or less, such as 1.",
  ],
  [
    "a device that is not there, to train on",
    pretrain("device=tpu"),
    'there is no device "tpu"\n  Choose one of: cpu, auto, CPU.',
  ],
  [
    "a source that is not there",
    pretrain("corpus.sources=[{from: absent}]"),
    'the corpus source "absent" does not exist\n  Give a .txt or .jsonl file, a directory of them, or "npm:<package>@<version>".',
  ],
  [
    "a source without texts",
    pretrain("corpus.sources=[{from: empty}]"),
    "empty holds no .txt or .jsonl file\n  Give a directory or a package with text files in it.",
  ],
  [
    "a corpus of nothing after cleaning",
    pretrain("corpus.sources=[{from: short.txt}]"),
    "the corpus is empty: none of the 1 documents of short.txt has 300 characters after cleaning\n  Set min_characters lower, or give sources with longer texts.",
  ],
  [
    "a tokenizer without room for its text",
    pretrain("tokenizer.vocab_size=100"),
    "a vocabulary of 100 has no room for 259 special and byte pieces and the 32 characters of the text\n  Set the vocabulary size to 291 or more, or lower the character coverage (0.99995).",
  ],
  [
    "shards that are not there",
    pretrain("data=absent"),
    "absent/tokenizer.model does not exist\n  There is no directory absent either: check the path.",
  ],
  [
    "a recipe that is not there",
    ["pretrain", "absent.yaml"],
    "absent.yaml does not exist\n  There is no such name in this directory.",
  ],
  [
    "a recipe that is not YAML",
    ["pretrain", "bad.yaml"],
    "bad.yaml:2: this is not YAML: Flow sequence in block collection must be sufficiently indented and end with a ]\n  A recipe has one `key: value` on a line, with two spaces of indent for each level.",
  ],
  [
    "a name that leads elsewhere",
    ["pretrain", "tiny.yaml", "--name", "../x"],
    '"../x" cannot be the name of a run\n  Use letters, digits, dots, dashes and underscores, such as --name first-try.',
  ],
  [
    "conversations that are not there",
    tune("data=absent.jsonl"),
    "absent.jsonl: no such file\n  Check the path.",
  ],
  [
    "conversations that are none",
    tune("data=void.jsonl"),
    "void.jsonl: the file is empty\n  Write at least one JSON object into it.",
  ],
  [
    "a model that is not there, to tune",
    tune("model=absent"),
    "there is no model at absent\n  Give a model's directory, a .gguf file or a llama2.c .bin file.",
  ],
  [
    "a tokenizer of another model, to tune with",
    tune("model=small"),
    "the tokenizer of small has 262 pieces, the model 200\n  Give the model's own tokenizer with --tokenizer.",
  ],
  [
    "sequences longer than the model's context",
    tune("seq_len=4096"),
    "seq_len (4096) is more than the model's context of 64\n  Set seq_len to 64 or less.",
  ],
];
