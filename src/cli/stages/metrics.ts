/** A stage's metrics.jsonl: opened when it is known after which step the run goes on, with time counted over sittings. */

import { existsSync } from "node:fs";
import { MetricsLog, readMetrics, type MetricsRecord } from "../../train/metrics.ts";
import type { StepReport } from "../../train/loop.ts";

export class StageMetrics implements Disposable {
  readonly path: string;
  #log: MetricsLog | undefined;
  #tokens = 0;
  #seconds = 0;

  constructor(path: string) {
    this.path = path;
  }

  /** @param afterStep the step that the run goes on after; later lines are cut off. */
  open(afterStep: number): void {
    this.#log = new MetricsLog(this.path, afterStep);
    const last = existsSync(this.path)
      ? readMetrics(this.path).findLast(({ seconds }) => seconds !== undefined)
      : undefined;
    this.#tokens = last?.tokens ?? 0;
    this.#seconds = last?.seconds ?? 0;
  }

  step({ step, loss, lr, gradientNorm, tokens, seconds, isSkipped }: StepReport): void {
    this.#tokens += tokens;
    this.#seconds += seconds;
    this.append({
      step,
      tokens: this.#tokens,
      seconds: Math.round(this.#seconds * 1000) / 1000,
      loss,
      lr,
      gradNorm: gradientNorm,
      tokensPerSecond: Math.round(tokens / seconds),
      ...(isSkipped ? { isSkipped } : {}),
    });
  }

  append(record: MetricsRecord): void {
    this.#log?.append(record);
  }

  [Symbol.dispose](): void {
    this.#log?.[Symbol.dispose]();
  }
}
