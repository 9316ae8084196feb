/** Models that answer, opened for a stage of a run. */

import { answerSampler, type AnswerSampler, type Opened } from "../../generate/answers.ts";
import { openWeights, readModelFiles } from "../../model/load.ts";
import { tokenizerOfModel } from "../../tokenizer/open.ts";
import { openStageBackend } from "./context.ts";

export interface SamplerSettings {
  readonly device: string;
  readonly threads?: number | undefined;
  readonly max_tokens: number;
  readonly top_p: number;
}

/** The caller disposes it. */
export function openAnswerSampler(model: string, settings: SamplerSettings): Opened<AnswerSampler> {
  const files = readModelFiles(model);
  const tokenizer = tokenizerOfModel(model, files.config.vocabSize);
  const backend = openStageBackend(settings);
  try {
    const weights = openWeights(backend, files, { repack: true });
    const sampler = { maxTokens: settings.max_tokens, topP: settings.top_p };
    return {
      run: answerSampler({ backend, weights, tokenizer }, sampler),
      [Symbol.dispose]() {
        weights[Symbol.dispose]();
        backend[Symbol.dispose]();
      },
    };
  } catch (error) {
    backend[Symbol.dispose]();
    throw error;
  }
}
