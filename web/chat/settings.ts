/** What the reader may set, and what the server is sent of it. */

export interface Settings {
  readonly model: string;
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly minP: number;
  readonly repeatPenalty: number;
  readonly maxTokens: number;
  /** Empty for another text each time. */
  readonly seed: string;
  readonly theme: "auto" | "light" | "dark";
}

/** Meta's reference: temperature 0.6, top-p 0.9. */
export const defaultSettings: Settings = {
  model: "",
  temperature: 0.6,
  topP: 0.9,
  topK: 0,
  minP: 0,
  repeatPenalty: 1,
  maxTokens: 512,
  seed: "",
  theme: "auto",
};

export interface NumberSetting {
  readonly key: "temperature" | "topP" | "topK" | "minP" | "repeatPenalty" | "maxTokens";
  readonly label: string;
  readonly hint: string;
  readonly min: number;
  readonly max: number;
  readonly step: number;
}

export const numberSettings: readonly NumberSetting[] = [
  {
    key: "temperature",
    label: "Temperature",
    hint: "0 always takes the likeliest word",
    min: 0,
    max: 2,
    step: 0.05,
  },
  {
    key: "topP",
    label: "Top-p",
    hint: "Only the likeliest words up to this share",
    min: 0.05,
    max: 1,
    step: 0.05,
  },
  { key: "topK", label: "Top-k", hint: "Only so many words; 0 for all", min: 0, max: 200, step: 1 },
  {
    key: "minP",
    label: "Min-p",
    hint: "Only words this likely beside the likeliest",
    min: 0,
    max: 1,
    step: 0.01,
  },
  {
    key: "repeatPenalty",
    label: "Repeat penalty",
    hint: "Above 1 the text repeats itself less",
    min: 0.5,
    max: 2,
    step: 0.05,
  },
  { key: "maxTokens", label: "Longest answer", hint: "In tokens", min: 16, max: 4096, step: 16 },
];

/** The fields of a request. */
export function requestOf(settings: Settings): Record<string, unknown> {
  const seed = Number(settings.seed);
  return {
    model: settings.model,
    temperature: settings.temperature,
    top_p: settings.topP,
    top_k: settings.topK,
    min_p: settings.minP,
    repeat_penalty: settings.repeatPenalty,
    max_tokens: settings.maxTokens,
    ...(settings.seed.trim() !== "" && Number.isSafeInteger(seed) ? { seed } : {}),
  };
}
