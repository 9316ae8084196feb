/** Where the prompt is written, and, for safety, classed. */

import type { VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Me, OpenBatch, TaskView } from "./api.ts";
import { draftOf, keepDraft, type Draft } from "./memory.ts";

interface AskingProps {
  readonly me: Me;
  readonly batch: OpenBatch;
  readonly task: TaskView;
  readonly onAsk: (question: Record<string, string>) => Promise<void>;
}

export function Asking({ me, batch, task, onAsk }: AskingProps): VNode {
  const [draft, setDraft] = useState(() => draftOf(task.id));
  const [isAsking, setAsking] = useState(false);
  const field = useRef<HTMLTextAreaElement>(null);
  useEffect(() => field.current?.focus(), []);
  const change = (part: Partial<Draft>): void => {
    const next = { ...draft, ...part };
    setDraft(next);
    keepDraft(task.id, next);
  };
  const isSafety = batch.quality === "safety";
  const isReady = draft.text.trim() !== "" && (!isSafety || (draft.risk !== "" && draft.attack !== ""));
  const submit = (): void => {
    if (!isReady || isAsking) return;
    setAsking(true);
    const { text, risk, attack } = draft;
    void onAsk(isSafety ? { text, risk, attack } : { text }).finally(() => setAsking(false));
  };
  return (
    <form
      class="asking"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <label for="prompt">{task.history.length === 0 ? "Your prompt" : "Your next message"}</label>
      <textarea
        id="prompt"
        ref={field}
        rows={5}
        dir="auto"
        value={draft.text}
        onInput={(event) => change({ text: event.currentTarget.value })}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit();
          if (event.key === "Escape") event.currentTarget.blur();
        }}
      />
      {isSafety && <SafetyClasses me={me} draft={draft} onChange={change} />}
      <div class="actions">
        <span class="hint">
          <kbd>Esc</kbd> leaves the field, for the other keys
        </span>
        <button class="primary" type="submit" disabled={!isReady || isAsking}>
          Ask both <kbd>Ctrl Enter</kbd>
        </button>
      </div>
    </form>
  );
}

// --- internal ---

interface SafetyClassesProps {
  readonly me: Me;
  readonly draft: Draft;
  readonly onChange: (part: Partial<Draft>) => void;
}

function SafetyClasses({ me, draft, onChange }: SafetyClassesProps): VNode {
  return (
    <div class="classes">
      <Classes
        label="Risk"
        names={me.riskCategories}
        value={draft.risk}
        onChange={(risk) => onChange({ risk })}
      />
      <Classes
        label="How it tries"
        names={me.attackStyles}
        value={draft.attack}
        onChange={(attack) => onChange({ attack })}
      />
    </div>
  );
}

interface ClassesProps {
  readonly label: string;
  readonly names: Readonly<Record<string, string>>;
  readonly value: string;
  readonly onChange: (value: string) => void;
}

function Classes({ label, names, value, onChange }: ClassesProps): VNode {
  return (
    <label>
      <span>{label}</span>
      <select value={value} onChange={(event) => onChange(event.currentTarget.value)}>
        <option value="">Choose …</option>
        {Object.entries(names).map(([name, title]) => (
          <option value={name}>{title}</option>
        ))}
      </select>
    </label>
  );
}
