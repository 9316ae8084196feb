/**
 * Settings of sampling that would make the KL a lie. The penalty compares log π_θ with log π₀ of tokens that π_θ is
 * taken to have drawn. Tokens from a distribution that was cut or bent follow another policy: the estimate is then
 * biased, may even turn negative, and the policy is paid for what it never does.
 */

import { ConfigError } from "../errors/errors.ts";
import { samplingDefaults, type SamplingOptions } from "../generate/sampling/options.ts";

/**
 * @param temperature that log-probabilities are computed at.
 * @throws {ConfigError} naming the setting, and why it cannot be.
 */
export function checkRolloutSampling(sampling: SamplingOptions, temperature: number): void {
  if (!(temperature > 0 && temperature <= mostTemperature)) {
    throw new ConfigError(
      `temperature (${temperature}) is not a number above 0 and at most ${mostTemperature}`,
      {
        mend: "Rollouts are drawn from the policy: 1 is InstructGPT's.",
      },
    );
  }
  if (sampling.temperature !== temperature) {
    throw new ConfigError(
      `rollouts are sampled at temperature ${sampling.temperature} and their log-probabilities are computed at ${temperature}: ` +
        "the KL to the reference would be that of another policy than the one that wrote them",
      { mend: "Give both the same temperature." },
    );
  }
  for (const [name, value, off, why] of rulesOf(sampling)) {
    if (value === off) continue;
    throw new ConfigError(`${name} (${shown(value)}) biases the KL to the reference: ${why}`, {
      mend: off === undefined ? `Leave ${name} out.` : `Set ${name} to ${shown(off)}, or leave it out.`,
    });
  }
}

// --- internal ---

/** Far above what anyone samples at: all tokens are alike there. */
const mostTemperature = 10;

const cut = "tokens that it cuts off keep their probability in log π_θ, and are never drawn";
const bent = "it changes the probabilities that tokens are drawn by, and not log π_θ";

function rulesOf(sampling: SamplingOptions): [name: string, value: unknown, off: unknown, why: string][] {
  const { minP, typicalP, repeatPenalty, presencePenalty, frequencyPenalty } = {
    ...samplingDefaults,
    ...sampling,
  };
  return [
    ["top_k", sampling.topK, 0, cut],
    ["top_p", sampling.topP, 1, cut],
    ["min_p", minP, 0, cut],
    ["typical_p", typicalP, 1, cut],
    ["repeat_penalty", repeatPenalty, 1, bent],
    ["presence_penalty", presencePenalty, 0, bent],
    ["frequency_penalty", frequencyPenalty, 0, bent],
    ["mirostat", sampling.mirostat, undefined, bent],
    ["logit_bias", sampling.logitBias, undefined, bent],
    ["banned_ids", sampling.bannedIds, undefined, cut],
    ["a constraint", sampling.constraint, undefined, cut],
  ];
}

function shown(value: unknown): string {
  return typeof value === "number" ? String(value) : "given";
}
