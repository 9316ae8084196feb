/**
 * The process of one model: what `bin/worker.js` runs. It does as the server tells it, and ends when the server does.
 */

import { CriaError } from "../../errors/errors.ts";
import type { GenerateEvent } from "../engine.ts";
import { problemOf, type ApiProblem } from "../problem.ts";
import type { FromModel, ToModel } from "./protocol.ts";
import { ServedModel, type ServedModelOptions } from "./served-model.ts";

// Ctrl-C goes to the whole group of processes; the server decides when its models end.
process.on("SIGINT", () => {});
process.on("disconnect", () => process.exit(0));

let model: ServedModel | undefined;
const cancels = new Map<number, () => void>();
let events: [id: number, event: GenerateEvent][] = [];
let isShared = false;
const turns: (() => void)[] = [];

// What is told with events is old once there are none any more.
setInterval(() => {
  if (model !== undefined && events.length === 0) send({ type: "events", events, stats: model.stats });
}, 500);

process.on("message", (message: ToModel) => {
  switch (message.type) {
    case "open":
      open(message.options);
      return;
    case "generate": {
      const { id } = message;
      let isOver = false;
      const cancel = model!.generate(message.request, (event) => {
        isOver = event.type === "done" || event.type === "failed";
        if (isOver) cancels.delete(id);
        tell(id, event);
      });
      // What is refused ends before it has begun.
      if (!isOver) cancels.set(id, cancel);
      return;
    }
    case "cancel":
      cancels.get(message.id)?.();
      cancels.delete(message.id);
      return;
    case "ask":
      void answer(message);
      return;
    case "sharing":
      isShared = message.isShared;
      if (!isShared) for (const turn of turns.splice(0)) turn();
      return;
    case "turn":
      turns.shift()?.();
  }
});

// --- internal ---

function send(message: FromModel): void {
  // Without a server there is nobody to tell; `disconnect` ends the process.
  if (process.connected) process.send!(message, () => {});
}

function open(options: ServedModelOptions): void {
  try {
    model = new ServedModel(options, waitForTurn);
    send({ type: "ready", description: model.description, stats: model.stats });
  } catch (error) {
    send({ type: "not-opened", problem: openingProblem(error) });
  }
}

/** What is wrong with a model is its owner's to know: clients learn only that it is. */
function openingProblem(error: unknown): ApiProblem {
  const { message, mend } = error instanceof CriaError ? error : { message: String(error), mend: "" };
  process.stderr.write(`the model cannot be opened: ${message}\n${mend === "" ? "" : `  ${mend}\n`}`);
  return {
    status: 503,
    message: "The model cannot be opened; the server's log says why.",
    type: "server_error",
    code: "model_not_opened",
    retryAfterSeconds: 30,
  };
}

/** All that happens in one pass goes in one message. */
function tell(id: number, event: GenerateEvent): void {
  events.push([id, event]);
  if (events.length > 1) return;
  queueMicrotask(() => {
    send({ type: "events", events, stats: model!.stats });
    events = [];
  });
}

async function answer({ id, question, argument }: Extract<ToModel, { type: "ask" }>): Promise<void> {
  try {
    // The server's types say that the argument belongs to the question.
    const answer: unknown = await model![question](argument as never);
    send({ type: "answer", id, answer });
  } catch (error) {
    const problem = problemOf(error);
    if (problem.status >= 500) process.stderr.write(`${String(error)}\n`);
    send({ type: "refusal", id, problem });
  }
}

async function waitForTurn(): Promise<() => void> {
  if (!isShared) return () => {};
  await new Promise<void>((turn) => {
    turns.push(turn);
    send({ type: "turn-wanted" });
  });
  return () => send({ type: "turn-over" });
}
