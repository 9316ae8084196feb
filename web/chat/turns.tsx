/** What was said. */

import type { VNode } from "preact";
import { memo } from "preact/compat";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { titleOf, type Conversation, type Turn, type TurnStats } from "./conversation.ts";
import { markdownHtml } from "./markdown.ts";

interface TurnsProps {
  readonly conversation: Conversation;
  readonly isAnswering: boolean;
  readonly isBusy: boolean;
  readonly liveSpeed: number | undefined;
  readonly onEdit: (turnId: string, question: string) => void;
  readonly onAgain: () => void;
}

export function Turns({ conversation, isAnswering, isBusy, liveSpeed, onEdit, onAgain }: TurnsProps): VNode {
  const { turns } = conversation;
  const log = useStickyScroll(turns);
  return (
    <div class="turns" ref={log} role="log" aria-label="Conversation" aria-live="off" tabIndex={0}>
      <div class="column">
        {turns.length === 0 ? <Welcome /> : <h1 class="hidden">{titleOf(conversation)}</h1>}
        {turns.map((turn, i) =>
          turn.role === "user" ? (
            <Question key={turn.id} turn={turn} isBusy={isBusy} onEdit={onEdit} />
          ) : (
            <article key={turn.id} class="answer" aria-label="Answer">
              <Markdown text={turn.content} />
              {isAnswering && i === turns.length - 1 && <span class="cursor" aria-hidden="true" />}
              {turn.failure !== undefined && <p class="failure">{turn.failure}</p>}
              <AnswerFoot
                turn={turn}
                liveSpeed={isAnswering && i === turns.length - 1 ? liveSpeed : undefined}
                {...(i === turns.length - 1 && !isBusy ? { onAgain } : {})}
              />
            </article>
          ),
        )}
      </div>
      <p class="hidden" role="status">
        {isAnswering ? "The answer is being written." : announcement(turns.at(-1))}
      </p>
    </div>
  );
}

// --- internal ---

function Welcome(): VNode {
  return (
    <div class="welcome">
      <h1>What would you like to know?</h1>
      <p>
        <kbd>Enter</kbd> sends, <kbd>Shift</kbd> <kbd>Enter</kbd> breaks the line, <kbd>Esc</kbd> stops an
        answer, <kbd>Alt</kbd> <kbd>N</kbd> begins anew, <kbd>Alt</kbd> <kbd>R</kbd> asks again, <kbd>/</kbd>{" "}
        goes to the question.
      </p>
    </div>
  );
}

interface QuestionProps {
  readonly turn: Turn;
  readonly isBusy: boolean;
  readonly onEdit: (turnId: string, question: string) => void;
}

function Question({ turn, isBusy, onEdit }: QuestionProps): VNode {
  const [draft, setDraft] = useState<string>();
  const field = useRef<HTMLTextAreaElement>(null);
  const isEditing = draft !== undefined;
  useEffect(() => {
    if (isEditing) field.current?.focus();
  }, [isEditing]);
  if (draft === undefined) {
    return (
      <article class="question" aria-label="Question">
        <p class="text">{turn.content}</p>
        <button
          type="button"
          class="quiet"
          disabled={isBusy}
          title="Ask it in other words; what came after is forgotten"
          onClick={() => setDraft(turn.content)}
        >
          Edit
        </button>
      </article>
    );
  }
  const send = (): void => {
    if (draft.trim() === "" || isBusy) return;
    onEdit(turn.id, draft.trim());
    setDraft(undefined);
  };
  return (
    <form
      class="question editing"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <textarea
        ref={field}
        aria-label="The question in other words"
        rows={Math.min(10, draft.split("\n").length + 1)}
        value={draft}
        onInput={(event) => setDraft(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape") setDraft(undefined);
          if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
          event.preventDefault();
          send();
        }}
      />
      <p class="actions">
        <button type="button" class="quiet" onClick={() => setDraft(undefined)}>
          Leave it
        </button>
        <button type="submit" class="primary" disabled={draft.trim() === "" || isBusy}>
          Ask
        </button>
      </p>
    </form>
  );
}

/** Rendered anew only when its text changes: an answer of many tokens has many frames. */
const Markdown = memo(function Markdown({ text }: { text: string }): VNode {
  // markdownHtml is what makes it safe.
  return <div class="markdown" dangerouslySetInnerHTML={{ __html: markdownHtml(text) }} />;
});

interface AnswerFootProps {
  readonly turn: Turn;
  readonly liveSpeed: number | undefined;
  readonly onAgain?: () => void;
}

function AnswerFoot({ turn, liveSpeed, onAgain }: AnswerFootProps): VNode {
  const [isCopied, setCopied] = useState(false);
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(turn.content);
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  const isDone = turn.stats !== undefined || turn.failure !== undefined;
  return (
    <p class="foot">
      {isDone && turn.content !== "" && navigator.clipboard !== undefined && (
        <button type="button" class="quiet" onClick={() => void copy()}>
          {isCopied ? "Copied" : "Copy"}
        </button>
      )}
      {isDone && onAgain !== undefined && (
        <button type="button" class="quiet" title="Ask again (Alt+R)" onClick={onAgain}>
          Again
        </button>
      )}
      {turn.stats !== undefined && <span class="stats">{statsText(turn.stats)}</span>}
      {liveSpeed !== undefined && <span class="stats">{liveSpeed.toFixed(0)} tokens/s</span>}
    </p>
  );
}

function statsText({ tokens, firstTokenMs, answerMs, reason }: TurnStats): string {
  const parts = [`${tokens} tokens`];
  if (tokens > 1 && answerMs >= 50) parts.push(`${((1000 * (tokens - 1)) / answerMs).toFixed(1)} tokens/s`);
  parts.push(`first after ${(firstTokenMs / 1000).toFixed(2)} s`);
  if (reason === "length") parts.push("cut at the longest answer");
  return parts.join(" · ");
}

function announcement(last: Turn | undefined): string {
  if (last?.role !== "assistant") return "";
  return last.failure ?? `The answer: ${last.content}`;
}

/** Keeps the end in view while the reader is at the end, and leaves who scrolled up in peace. */
function useStickyScroll(turns: readonly Turn[]): { current: HTMLDivElement | null } {
  const log = useRef<HTMLDivElement>(null);
  const isAtEnd = useRef(true);
  const count = useRef(0);
  useEffect(() => {
    const element = log.current!;
    const onScroll = (): void => {
      isAtEnd.current = element.scrollHeight - element.scrollTop - element.clientHeight < 40;
    };
    element.addEventListener("scroll", onScroll, { passive: true });
    return () => element.removeEventListener("scroll", onScroll);
  }, []);
  useLayoutEffect(() => {
    const element = log.current!;
    if (turns.length !== count.current) isAtEnd.current = true;
    count.current = turns.length;
    if (isAtEnd.current) element.scrollTop = element.scrollHeight;
  }, [turns]);
  return log;
}
