/** Counters and histograms of the server, in Prometheus' text format 0.0.4. */

import type { ModelStatus } from "./engine.ts";

export class Metrics {
  readonly #counters = new Map<string, Map<string, number>>();
  readonly #histograms = new Map<string, Histogram>();

  /** A request was answered. */
  requestEnded(route: string, status: number, seconds: number): void {
    this.#count("cria_requests_total", `route="${escaped(route)}",status="${status}"`);
    this.#observe("cria_request_seconds", durationBounds, seconds);
  }

  firstToken(seconds: number): void {
    this.#observe("cria_first_token_seconds", latencyBounds, seconds);
  }

  /** Between two pieces of one text. */
  nextToken(seconds: number): void {
    this.#observe("cria_next_token_seconds", latencyBounds, seconds);
  }

  text(models: readonly ModelStatus[]): string {
    let text = "";
    for (const [name, series] of this.#counters) {
      text += heading(name, "counter");
      for (const [labels, value] of series) text += `${name}{${labels}} ${value}\n`;
    }
    for (const [name, histogram] of this.#histograms) text += histogramText(name, histogram);
    for (const [name, type, help, valueOf] of modelSeries) {
      text += heading(name, type, help);
      for (const model of models) {
        const value = valueOf(model);
        if (value !== undefined) text += `${name}{model="${escaped(model.id)}"} ${value}\n`;
      }
    }
    return text;
  }

  #count(name: string, labels: string): void {
    const series = this.#counters.get(name) ?? new Map<string, number>();
    this.#counters.set(name, series);
    series.set(labels, (series.get(labels) ?? 0) + 1);
  }

  #observe(name: string, bounds: readonly number[], value: number): void {
    const histogram = this.#histograms.get(name) ?? { bounds, counts: bounds.map(() => 0), sum: 0, count: 0 };
    this.#histograms.set(name, histogram);
    for (const [i, bound] of bounds.entries()) if (value <= bound) histogram.counts[i]! += 1;
    histogram.sum += value;
    histogram.count += 1;
  }
}

// --- internal ---

interface Histogram {
  readonly bounds: readonly number[];
  /** How many values are at most each bound. */
  readonly counts: number[];
  sum: number;
  count: number;
}

const latencyBounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const durationBounds = [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600];

type Series = [
  name: string,
  type: "gauge" | "counter",
  help: string,
  valueOf: (model: ModelStatus) => number | undefined,
];

const modelSeries: readonly Series[] = [
  ["cria_model_loaded", "gauge", "Whether the model is open.", ({ state }) => (state === "ready" ? 1 : 0)],
  ["cria_model_deaths_total", "counter", "How often its process ended by itself.", ({ deaths }) => deaths],
  ["cria_texts_running", "gauge", "Texts that are being written.", ({ stats }) => stats?.running],
  ["cria_requests_waiting", "gauge", "Requests in the queue.", ({ stats }) => stats?.waiting],
  ["cria_cache_cells", "gauge", "Tokens that the KV cache has room for.", ({ stats }) => stats?.cells],
  ["cria_cache_cells_free", "gauge", "Of these, those that are free.", ({ stats }) => stats?.freeCells],
  ["cria_prompt_tokens_total", "counter", "Tokens of prompts.", ({ stats }) => stats?.promptTokens],
  [
    "cria_cached_tokens_total",
    "counter",
    "Of these, those not computed anew.",
    ({ stats }) => stats?.cachedTokens,
  ],
  ["cria_completion_tokens_total", "counter", "Tokens written.", ({ stats }) => stats?.completionTokens],
  ["cria_passes_total", "counter", "Passes through the model.", ({ stats }) => stats?.steps],
  ["cria_resident_bytes", "gauge", "Memory of the model's process.", ({ stats }) => stats?.residentBytes],
];

function heading(name: string, type: string, help?: string): string {
  return `${help === undefined ? "" : `# HELP ${name} ${help}\n`}# TYPE ${name} ${type}\n`;
}

function histogramText(name: string, { bounds, counts, sum, count }: Histogram): string {
  const buckets = bounds.map((bound, i) => `${name}_bucket{le="${bound}"} ${counts[i]}\n`).join("");
  return `${heading(name, "histogram")}${buckets}${name}_bucket{le="+Inf"} ${count}\n${name}_sum ${sum}\n${name}_count ${count}\n`;
}

function escaped(label: string): string {
  return label.replace(/[\\"]/g, String.raw`\$&`).replaceAll("\n", String.raw`\n`);
}
