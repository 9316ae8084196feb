/**
 * Cria as a library: open a model and generate, talk, or measure; read and write the formats; train.
 *
 *     import { loadModel } from "cria";
 *     await using model = await loadModel("model.gguf");
 *     for await (const event of model.chat([{ role: "user", content: "Why?" }])) process.stdout.write(event.text);
 *
 * What is not exported here is not public.
 */

export { ConfigError, CriaError, EngineError, FormatError, UseAfterFreeError } from "./errors/errors.ts";

export { createTokenizer, type Tokenizer } from "./tokenizer/tokenizer.ts";
export { openTokenizer } from "./tokenizer/open.ts";
export { createStreamDecoder } from "./tokenizer/stream.ts";
export { metaTrainOptions, trainTokenizer, type TrainOptions } from "./tokenizer/train.ts";

export type { Dialog, Message } from "./dialog/message.ts";
export { encodeDialog, encodePrompt, type Example } from "./dialog/llama2-chat.ts";
export { readDialogs } from "./dialog/readers.ts";

export {
  loadModel,
  type AnswerSettings,
  type LoadedModel,
  type LoadOptions,
} from "./generate/loaded-model.ts";
export {
  generateText,
  generateTokens,
  type GenerateOptions,
  type StopReason,
  type TextEvent,
  type TextOptions,
} from "./generate/generate.ts";
export {
  createSampler,
  metaSampling,
  type Sampler,
  type SamplingOptions,
  type TokenConstraint,
} from "./generate/sampling.ts";
export type { OutputFormat } from "./generate/grammar/output-format.ts";
export type { ContextShift, Forget } from "./generate/context-shift.ts";
export type { TokenLogprobs } from "./generate/logprobs.ts";
export { draftModel, promptLookup, type TokenProposer } from "./generate/speculation.ts";
export {
  generateBatch,
  type BatchAnswer,
  type BatchLimits,
  type BatchOptions,
  type BatchRequest,
} from "./generate/batch.ts";
export { BatchDecoder, type BatchDecoderOptions, type SequenceStep } from "./model/batch-decoder.ts";
export { restoreSession, saveSession } from "./generate/session.ts";
export type { Pooling } from "./generate/embeddings.ts";
export { ChatSession, type ChatEvent } from "./generate/chat.ts";
export { convertModel, type Conversion, type Converted } from "./model/convert.ts";
export { readModelFiles, type ModelFiles } from "./model/load.ts";
export { divergence, type Divergence } from "./evaluate/divergence.ts";
export { perplexity, type Perplexity } from "./evaluate/perplexity.ts";

export { optimisePolicy } from "./ppo/ppo.ts";
export type { PpoEvent, PpoInputs, PpoOptions } from "./ppo/options.ts";
export type { Answered, RewardFunction } from "./reward/reward-function.ts";

export { openBackend, type Backend, type BackendOptions } from "./tensor/backend.ts";
export { setNativeLogger, type NativeLogger } from "./tensor/backend.ts";
