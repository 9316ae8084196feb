/**
 * Two answers, side by side as they are written, and the decision below them. Whatever a model says is put on the page
 * as text, and what it does to the direction of text ends where it ends.
 */

import type { VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, listen, type EventBody, type TaskView } from "./api.ts";
import { Deciding } from "./deciding.tsx";
import { draftOf, keepDraft, type Choice } from "./memory.ts";

interface AnswersProps {
  readonly task: TaskView;
  readonly isSending: boolean;
  readonly onDecide: (event: EventBody, goesOn?: boolean) => void;
  /** Both answers are whole. */
  readonly onReady: () => void;
}

export function Answers({ task, isSending, onDecide, onReady }: AnswersProps): VNode {
  const [choice, setChoice] = useState<Choice>(() => draftOf(task.id).choice);
  const { left, right, problem } = useStreams(task, onReady);
  const isWhole = task.left !== null;
  const decide = (goesOn: boolean): void => {
    const { better, strength, safety } = latest.current;
    if (better === undefined || strength === undefined || safety === undefined || isSending) return;
    onDecide({ id: crypto.randomUUID(), kind: "compare", better, strength, safety }, goesOn);
  };
  // Keys may come faster than the page is drawn: each goes on from the last, not from what is drawn.
  const latest = useRef(choice);
  const choose = (part: Choice): void => {
    latest.current = { ...latest.current, ...part };
    setChoice(latest.current);
    keepDraft(task.id, { ...draftOf(task.id), choice: latest.current });
  };
  return (
    <>
      <p class="hidden" role="status">
        {isWhole ? "Both answers are complete." : "The answers are being written."}
      </p>
      {problem !== "" && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
      <div class="answers">
        {(["left", "right"] as const).map((side) => (
          <Answer
            side={side}
            text={side === "left" ? left : right}
            isWhole={isWhole}
            isChosen={choice.better === side}
            onChoose={() => choose({ better: side })}
          />
        ))}
      </div>
      {isWhole && (
        <Deciding
          choice={choice}
          isSending={isSending}
          onChoose={choose}
          onSubmit={decide}
          onFlag={(note) => onDecide({ id: crypto.randomUUID(), kind: "flag", note })}
        />
      )}
    </>
  );
}

// --- internal ---

interface Streams {
  readonly left: string;
  readonly right: string;
  readonly problem: string;
}

const retryMs = 1000;

function useStreams(task: TaskView, onReady: () => void): Streams {
  const [streams, setStreams] = useState<Streams>({ left: "", right: "", problem: "" });
  const ready = useRef(onReady);
  ready.current = onReady;
  useEffect(() => {
    if (task.left !== null) return undefined;
    const leaving = new AbortController();
    void follow(task.id, setStreams, leaving.signal).then((isWhole) => {
      if (isWhole) ready.current();
    });
    return () => leaving.abort();
  }, [task.id, task.left]);
  return task.left === null || task.right === null
    ? streams
    : { left: task.left, right: task.right, problem: "" };
}

/** Follows the streams to their end, however often the server goes away. @returns whether both are whole. */
async function follow(
  taskId: string,
  show: (streams: Streams) => void,
  signal: AbortSignal,
): Promise<boolean> {
  for (;;) {
    let problem: string;
    try {
      problem = await followOnce(taskId, show, signal);
      if (problem === "") return true;
    } catch (error) {
      problem = "The server does not answer. Trying again …";
      if (error instanceof ApiError && error.status < 500) {
        show({ left: "", right: "", problem: error.message });
        return false;
      }
    }
    if (signal.aborted) return false;
    show({ left: "", right: "", problem });
    await new Promise((resolve) => setTimeout(resolve, retryMs));
  }
}

/** @returns why the answers are not whole; "" when they are. */
async function followOnce(
  taskId: string,
  show: (streams: Streams) => void,
  signal: AbortSignal,
): Promise<string> {
  const texts = { left: "", right: "" };
  let isDue = true;
  const showSoon = (): void => {
    // A model may be faster than a screen.
    if (!isDue) return;
    isDue = false;
    requestAnimationFrame(() => {
      isDue = true;
      if (!signal.aborted) show({ ...texts, problem: "" });
    });
  };
  for await (const event of listen(taskId, signal)) {
    switch (event.type) {
      case "done":
        show({ ...texts, problem: "" });
        return "";
      case "failed":
        return "A model failed; the server's log says why. Trying again …";
      case "text":
        texts[event.side] += event.text;
        showSoon();
    }
  }
  return "The server went away. Trying again …";
}

interface AnswerProps {
  readonly side: "left" | "right";
  readonly text: string;
  readonly isWhole: boolean;
  readonly isChosen: boolean;
  readonly onChoose: () => void;
}

const names = { left: "Answer 1", right: "Answer 2" } as const;

function Answer({ side, text, isWhole, isChosen, onChoose }: AnswerProps): VNode {
  const turning = text.match(/[\u202A-\u202E\u2066-\u2069\u200E\u200F\u061C]/g)?.length ?? 0;
  return (
    <section class={`answer ${isChosen ? "chosen" : ""}`} aria-label={names[side]}>
      <div class="head">
        <h3>{names[side]}</h3>
        {isWhole && (
          <button type="button" class="pick" aria-pressed={isChosen} onClick={onChoose}>
            {isChosen ? "Better" : "Pick"} <kbd>{side === "left" ? "1" : "2"}</kbd>
          </button>
        )}
      </div>
      {/* It scrolls, so the keyboard must reach it. */}
      <div
        class="text"
        dir="auto"
        tabIndex={0}
        role="group"
        aria-label={`Text of ${names[side].toLowerCase()}`}
      >
        {text === "" && isWhole ? <em>It says nothing.</em> : text}
        {!isWhole && <span class="cursor" />}
      </div>
      {turning > 0 && (
        <p class="remark">
          Has {turning} invisible {turning === 1 ? "character" : "characters"} that change the direction of
          text.
        </p>
      )}
    </section>
  );
}
