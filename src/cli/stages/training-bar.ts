/** A training stage on the terminal and in its metrics: what pretraining, fine-tuning and reward models show alike. */

import type { StepReport } from "../../train/loop.ts";
import type { MetricsRecord } from "../../train/metrics.ts";
import { Progress } from "../progress.ts";
import type { StageContext } from "./context.ts";
import type { StageMetrics } from "./metrics.ts";

export class TrainingBar implements Disposable {
  readonly #context: StageContext;
  readonly #metrics: StageMetrics;
  readonly #label: string;
  #bar: Progress | undefined;
  /** The step that the run goes on after. */
  #from = 0;
  #note = "";

  constructor(label: string, context: StageContext, metrics: StageMetrics) {
    this.#label = label;
    this.#context = context;
    this.#metrics = metrics;
  }

  /** @param of what the step is one of, in words. */
  resumed(step: number, of = ""): void {
    this.#from = step;
    this.#context.stderr.write(`Going on after step ${step}${of}\n`);
  }

  /** @param lines what the stage says of itself before its first step. */
  started(steps: number, ...lines: readonly string[]): void {
    const { stderr } = this.#context;
    for (const line of lines) stderr.write(`${line}\n`);
    this.#metrics.open(this.#from);
    this.#bar = new Progress({
      label: this.#label,
      total: steps,
      unit: "steps",
      start: this.#from,
      stream: stderr,
    });
  }

  step(report: StepReport): void {
    const { step, loss, tokens, seconds, isSkipped } = report;
    this.#metrics.step(report);
    if (isSkipped) this.#bar?.log(`Step ${step} was skipped: its loss or gradient was not finite`);
    this.#bar?.update({ done: step, loss, tokensPerSecond: tokens / seconds, note: this.#note });
  }

  /** @param note what is shown of it beside the steps that follow. */
  measured(record: MetricsRecord, note: string): void {
    this.#metrics.append(record);
    this.#note = note;
  }

  [Symbol.dispose](): void {
    this.#bar?.end();
  }
}
