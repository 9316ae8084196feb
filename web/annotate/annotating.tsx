/** One task after another: write a prompt, read two answers, say which is better. */

import type { VNode } from "preact";
import { useCallback, useEffect, useState } from "preact/hooks";
import { ApiError, call, type EventBody, type Me, type OpenBatch, type TaskView } from "./api.ts";
import { Answers } from "./answers.tsx";
import { Asking } from "./asking.tsx";
import { GuidelinesPanel } from "./guidelines.tsx";
import { useKeys } from "./keys.ts";
import { forgetDraft, keepOutgoing, outgoing, type Outgoing } from "./memory.ts";
import { ProgressLine } from "./progress-line.tsx";

export function Annotating({ me, batch }: { me: Me; batch: OpenBatch }): VNode {
  const { task, notice, isSending, send, ask, refresh } = useTask(batch);
  const undo = (): void => {
    const last = task?.lastDecided;
    if (typeof last === "string") {
      send({ taskId: last, event: { id: crypto.randomUUID(), kind: "undo" }, goesOn: false });
    }
  };
  const decide = (event: EventBody, goesOn = false): void => {
    if (task !== undefined) send({ taskId: task.id, event, goesOn });
  };
  const skip = (): void => decide({ id: crypto.randomUUID(), kind: "skip", note: "" });
  useKeys({ u: undo, x: skip });
  return (
    <main class="annotating">
      <h2 class="hidden">{batch.name}</h2>
      {task !== undefined && <ProgressLine progress={task.progress} />}
      <div class="notice" role="status">
        {notice}
      </div>
      {task !== undefined && (
        <>
          <Turns task={task} />
          {task.question === null ? (
            <Asking key={task.id} me={me} batch={batch} task={task} onAsk={ask} />
          ) : (
            <Answers key={task.id} task={task} isSending={isSending} onDecide={decide} onReady={refresh} />
          )}
          <div class="aside">
            <button type="button" class="quiet" onClick={skip} disabled={isSending}>
              Skip <kbd>X</kbd>
            </button>
            <button
              type="button"
              class="quiet"
              onClick={undo}
              disabled={isSending || task.lastDecided === null}
            >
              Undo the last one <kbd>U</kbd>
            </button>
          </div>
        </>
      )}
      <GuidelinesPanel guidelines={me.guidelines[batch.quality]} quality={batch.quality} />
    </main>
  );
}

// --- internal ---

interface TaskState {
  readonly task: TaskView | undefined;
  readonly notice: string;
  readonly isSending: boolean;
  readonly send: (sending: Outgoing) => void;
  readonly ask: (question: Record<string, string>) => Promise<void>;
  readonly refresh: () => void;
}

const retryMs = 1000;

function useTask(batch: OpenBatch): TaskState {
  const [task, setTask] = useState<TaskView | undefined>(undefined);
  const [notice, setNotice] = useState("");
  const [isSending, setSending] = useState(false);
  const load = useCallback(
    () => insist(() => call<TaskView>("GET", `/batches/${batch.id}/task`), setNotice),
    [batch.id],
  );
  const deliver = useCallback(
    async (sending: Outgoing): Promise<void> => {
      keepOutgoing(sending);
      setSending(true);
      const { taskId, event, goesOn } = sending;
      try {
        await insist(() => call("POST", `/tasks/${taskId}/events`, event), setNotice);
        if (event.kind !== "flag" && event.kind !== "undo") forgetDraft(taskId);
        if (goesOn) await insist(() => call("POST", `/tasks/${taskId}/continue`, {}), setNotice);
        setNotice(event.kind === "flag" ? "Flagged for the lead." : "");
      } catch (error) {
        setNotice(wordsOf(error));
      }
      // Heard of, whichever way: it is not sent again.
      keepOutgoing(undefined);
      setTask(await load());
      setSending(false);
    },
    [load],
  );
  useEffect(() => {
    const pending = outgoing();
    const begin = pending === undefined ? load().then(setTask) : deliver(pending);
    begin.catch((error: unknown) => setNotice(wordsOf(error)));
  }, [load, deliver]);
  return {
    task,
    notice,
    isSending,
    send: (sending) => {
      if (!isSending) void deliver(sending).catch((error: unknown) => setNotice(wordsOf(error)));
    },
    ask: async (question) => {
      if (task === undefined) return;
      try {
        setTask(
          await insist(() => call<TaskView>("POST", `/tasks/${task.id}/question`, question), setNotice),
        );
        setNotice("");
      } catch (error) {
        setNotice(wordsOf(error));
      }
    },
    refresh: () => void load().then(setTask, (error: unknown) => setNotice(wordsOf(error))),
  };
}

/** Tries until the server is reached. @throws {ApiError} what it says. */
async function insist<T>(attempt: () => Promise<T>, tell: (notice: string) => void): Promise<T> {
  for (let isFirst = true; ; isFirst = false) {
    try {
      const result = await attempt();
      if (!isFirst) tell("");
      return result;
    } catch (error) {
      if (error instanceof ApiError && error.status < 500) throw error;
      tell("The server does not answer. Nothing is lost; trying again …");
      await new Promise((resolve) => setTimeout(resolve, retryMs));
    }
  }
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The conversation so far, as text. */
function Turns({ task }: { task: TaskView }): VNode | null {
  const turns =
    task.question === null ? task.history : [...task.history, { role: "user", content: task.question }];
  if (turns.length === 0) return null;
  return (
    <ol class="turns" aria-label="The conversation so far">
      {turns.map(({ role, content }) => (
        <li class={role}>
          <span class="hidden">{role === "user" ? "You: " : "Answer: "}</span>
          <p dir="auto">{content}</p>
        </li>
      ))}
    </ol>
  );
}
