/** Where the question is written: Enter sends, Shift+Enter breaks the line. */

import type { RefObject, VNode } from "preact";
import { useEffect, useState } from "preact/hooks";

interface ComposerProps {
  readonly field: RefObject<HTMLTextAreaElement | null>;
  readonly isAnswering: boolean;
  /** An answer is being written, here or in another conversation. */
  readonly isBusy: boolean;
  readonly onSend: (question: string) => void;
  readonly onStop: () => void;
}

export function Composer({ field, isAnswering, isBusy, onSend, onStop }: ComposerProps): VNode {
  const [question, setQuestion] = useState("");
  useEffect(() => field.current?.focus(), [field]);
  useEffect(() => {
    const area = field.current;
    if (area === null) return;
    area.style.height = "auto";
    area.style.height = `${Math.min(area.scrollHeight, 240)}px`;
  }, [field, question]);
  const send = (): void => {
    if (question.trim() === "" || isBusy) return;
    onSend(question.trim());
    setQuestion("");
  };
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <label class="hidden" for="question">
        Your question
      </label>
      <textarea
        id="question"
        ref={field}
        rows={1}
        placeholder="Ask something"
        value={question}
        onInput={(event) => setQuestion(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
          event.preventDefault();
          send();
        }}
      />
      {isAnswering ? (
        <button class="send" type="button" onClick={onStop} aria-label="Stop" title="Stop (Esc)">
          <svg viewBox="0 0 20 20" aria-hidden="true">
            <rect x="6" y="6" width="8" height="8" rx="1" class="filled" />
          </svg>
        </button>
      ) : (
        <button
          class="send"
          type="submit"
          disabled={question.trim() === "" || isBusy}
          aria-label="Send"
          title="Send (Enter)"
        >
          <svg viewBox="0 0 20 20" aria-hidden="true">
            <path d="M10 16V5M5 9.5 10 4.5l5 5" />
          </svg>
        </button>
      )}
    </form>
  );
}
