/**
 * Continuous batching (Yu et al. 2022, Orca, §4): the texts that are being written are put together anew for every
 * pass through the model. A text that has one token to read goes first, so that it gets its next one in every pass;
 * what room is left in the pass is shared among those that still read their prompts.
 *
 * A text that finds no room in the cache makes the youngest one give up its cells; that one reads its tokens again
 * later, and whoever reads the text does not notice. So does one that forgets its older half in a full context.
 */

import type { BatchDecoder, SequenceStep } from "../../model/batch-decoder.ts";
import { RequestError } from "../problem.ts";
import type { Choice } from "./choice.ts";
import { FairQueue } from "./fair-queue.ts";
import { PassBudget } from "./pass-budget.ts";
import { PrefixCache } from "./prefix-cache.ts";

export interface SchedulerLimits {
  /** Texts that are written at the same time. */
  readonly parallel: number;
  /** Requests that may wait. */
  readonly queue: number;
}

/** A request: texts that have their prompt in common. */
export interface Job {
  readonly client: string;
  /** They have the same tokens so far. */
  readonly choices: readonly Choice[];
  /** How many of the prompt's tokens had been computed for someone before. */
  readonly started: (cachedTokens: number) => void;
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
}

export interface SchedulerStats {
  readonly running: number;
  readonly waiting: number;
  readonly steps: number;
  readonly preemptions: number;
}

export class Scheduler {
  readonly #decoder: BatchDecoder;
  readonly #limits: SchedulerLimits;
  readonly #turn: () => Promise<() => void>;
  readonly #prefixes: PrefixCache;
  readonly #budget = new PassBudget();
  readonly #waiting = new FairQueue<Job>();
  /** Oldest first. */
  #running: Running[] = [];
  readonly #cancelled = new Set<Job>();
  #isLooping = false;
  #steps = 0;
  #preemptions = 0;

  /** @param turn settles when this model may compute; what it settles to says that it has. */
  constructor(decoder: BatchDecoder, limits: SchedulerLimits, turn: () => Promise<() => void>) {
    this.#decoder = decoder;
    this.#limits = limits;
    this.#turn = turn;
    this.#prefixes = new PrefixCache(decoder);
  }

  get stats(): SchedulerStats {
    return {
      running: this.#running.length,
      waiting: this.#waiting.size,
      steps: this.#steps,
      preemptions: this.#preemptions,
    };
  }

  /** @throws {RequestError} when too many wait already. */
  submit(job: Job): void {
    if (this.#waiting.size >= this.#limits.queue) {
      throw new RequestError({
        status: 429,
        message: `${this.#waiting.size} requests wait already; try again later.`,
        type: "rate_limit_error",
        code: "queue_full",
        retryAfterSeconds: this.#budget.secondsToPass(this.#waiting.size),
      });
    }
    this.#waiting.push(job.client, job);
    if (!this.#isLooping) void this.#loop();
  }

  /** Nothing more is told of the job, and its place is free before the next pass. */
  cancel(job: Job): void {
    if (!this.#waiting.remove(job)) this.#cancelled.add(job);
  }

  async #loop(): Promise<void> {
    this.#isLooping = true;
    // Whoever submits in the same moment is in the first pass too.
    await Promise.resolve();
    while (this.#running.length > 0 || this.#waiting.size > 0) {
      this.#dropCancelled();
      this.#admit();
      const planned = this.#plan();
      if (planned.length === 0) continue;
      const end = await this.#turn();
      try {
        await this.#pass(planned);
      } catch (error) {
        for (const job of new Set(planned.map(({ running }) => running.job))) this.#fail(job, error);
      } finally {
        end();
      }
    }
    this.#cancelled.clear();
    this.#isLooping = false;
  }

  async #pass(planned: readonly Planned[]): Promise<void> {
    const before = performance.now();
    const logits = await this.#decoder.step(planned.map(({ step }) => step));
    this.#steps += 1;
    const tokens = planned.reduce((sum, { step }) => sum + step.tokens.length, 0);
    this.#budget.passed({ tokens, texts: planned.length, ms: performance.now() - before });
    for (const [i, { running, step }] of planned.entries()) {
      if (step.wants === "none" || this.#cancelled.has(running.job)) continue;
      try {
        this.#take(running, logits[i]!);
      } catch (error) {
        this.#fail(running.job, error);
      }
    }
  }

  /** Draws the next token; after the prompt, those of all texts that share it. */
  #take(running: Running, logits: Float32Array): void {
    const { job, siblings } = running;
    running.siblings = [];
    for (const choice of siblings) {
      const sequence = this.#decoder.fork(running.sequence!);
      const sibling: Running = { job, choice, sequence, siblings: [], tokens: choice.tokens };
      this.#running.push(sibling);
      this.#draw(sibling, logits);
    }
    this.#draw(running, logits);
  }

  #draw(running: Running, logits: Float32Array): void {
    const { choice, sequence } = running;
    choice.take(logits);
    // What was drawn last has not been read: is there room to read it?
    const read = this.#decoder.length(sequence!);
    const { contextTokens, cells } = this.#decoder;
    if (!choice.isOver && read >= Math.min(contextTokens, cells))
      this.#decoder.truncate(sequence!, choice.makeRoom(read));
    if (choice.isOver) this.#end(running);
  }

  #end(running: Running): void {
    this.#leave(running);
    const { job } = running;
    if (!job.choices.every(({ isOver }) => isOver)) return;
    this.#budget.finished();
    job.done();
  }

  #dropCancelled(): void {
    for (const running of this.#running.filter(({ job }) => this.#cancelled.has(job))) this.#leave(running);
    this.#cancelled.clear();
  }

  #fail(job: Job, error: unknown): void {
    for (const running of this.#running.filter((running) => running.job === job)) this.#leave(running);
    job.failed(error);
  }

  #leave(running: Running): void {
    this.#running = this.#running.filter((other) => other !== running);
    const { job, sequence, tokens } = running;
    if (sequence !== undefined) this.#prefixes.keep({ client: job.client, sequence, tokens });
  }

  /** Texts that gave up their cells come back first, then new ones in turn, as far as there is room. */
  #admit(): void {
    for (const running of this.#running.filter(({ sequence }) => sequence === undefined)) {
      if (!this.#hasRoomFor(running.tokens.length)) return;
      this.#open(running);
    }
    for (let job = this.#waiting.peek(); job !== undefined; job = this.#waiting.peek()) {
      const [choice, ...siblings] = job.choices as [Choice, ...Choice[]];
      const places = this.#running.reduce((sum, running) => sum + 1 + running.siblings.length, 0);
      if (places + job.choices.length > this.#limits.parallel) return;
      if (!this.#hasRoomFor(choice.tokens.length)) return;
      this.#waiting.take();
      const running: Running = { job, choice, siblings, sequence: undefined, tokens: choice.tokens };
      this.#open(running);
      this.#running.push(running);
      job.started(this.#decoder.length(running.sequence!));
    }
  }

  /** Whether so many tokens fit beside what the running texts are about to read. */
  #hasRoomFor(tokens: number): boolean {
    const open = this.#running.filter(({ sequence }) => sequence !== undefined);
    if (open.length === 0) return true;
    const unread = open.reduce((sum, running) => sum + this.#unread(running), 0);
    return this.#free(unread + tokens + cellsAhead * (open.length + 1));
  }

  /** Frees cells that are only kept. @returns whether there are so many now. */
  #free(cells: number): boolean {
    while (this.#decoder.freeCells < cells) if (!this.#prefixes.evict()) return false;
    return true;
  }

  #open(running: Running): void {
    const read = this.#running.flatMap(({ job, sequence, tokens }) =>
      sequence === undefined ? [] : [{ client: job.client, sequence, tokens }],
    );
    running.sequence = this.#prefixes.open(running.job.client, running.tokens, read);
  }

  /** How many of its tokens a text has yet to read. */
  #unread({ sequence, tokens }: Running): number {
    return tokens.length - (sequence === undefined ? 0 : this.#decoder.length(sequence));
  }

  /** What the next pass reads. */
  #plan(): Planned[] {
    for (;;) {
      const planned = this.#shared();
      const cells = planned.reduce((sum, { step }) => sum + step.tokens.length, 0);
      if (this.#free(cells)) return planned;
      if (this.#parkYoungest()) continue;
      // The whole cache is one text's, which reads what fits.
      const { running } = planned[0]!;
      return [planOf(running, this.#unread(running), this.#decoder.freeCells)];
    }
  }

  #shared(): Planned[] {
    const open = this.#running.filter(({ sequence }) => sequence !== undefined);
    const writing = open.filter((running) => this.#unread(running) === 1);
    const reading = open.filter((running) => this.#unread(running) > 1);
    const shares = this.#budget.shares(
      writing.length,
      reading.map((running) => this.#unread(running)),
    );
    return [
      ...writing.map((running) => planOf(running, 1, 1)),
      ...reading.flatMap((running, i) => {
        const share = shares[i] ?? 0;
        return share === 0 ? [] : [planOf(running, this.#unread(running), share)];
      }),
    ];
  }

  /** The youngest text gives up its cells. @returns whether there was more than one. */
  #parkYoungest(): boolean {
    const open = this.#running.filter(({ sequence }) => sequence !== undefined);
    if (open.length < 2) return false;
    const youngest = open.at(-1)!;
    this.#decoder.close(youngest.sequence!);
    youngest.sequence = undefined;
    this.#preemptions += 1;
    return true;
  }
}

// --- internal ---

/** Cells that a text is expected to need soon, beyond what it has yet to read. */
const cellsAhead = 16;

/** A text with its place in the decoder. */
interface Running {
  readonly job: Job;
  readonly choice: Choice;
  /** Texts with the same prompt, which part from this one once it is read. */
  siblings: readonly Choice[];
  /** Undefined while it has no cells. */
  sequence: number | undefined;
  readonly tokens: readonly number[];
}

interface Planned {
  readonly running: Running;
  readonly step: SequenceStep;
}

/** The first `count` of a text's unread tokens. */
function planOf(running: Running, unread: number, count: number): Planned {
  const { tokens, sequence } = running;
  const from = tokens.length - unread;
  const to = Math.min(tokens.length, from + count);
  const wants = to === tokens.length ? "last" : "none";
  return { running, step: { sequence: sequence!, tokens: tokens.slice(from, to), wants } };
}
