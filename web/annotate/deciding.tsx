/** The decision: which is better, by how much, and how safe they are. Every choice has a key. */

import type { VNode } from "preact";
import { useState } from "preact/hooks";
import type { SafetyLabel, Strength } from "../../src/preference/comparison.ts";
import { useKeys } from "./keys.ts";
import type { Choice } from "./memory.ts";

interface DecidingProps {
  readonly choice: Choice;
  readonly isSending: boolean;
  readonly onChoose: (part: Choice) => void;
  /** Whether the conversation goes on. */
  readonly onSubmit: (goesOn: boolean) => void;
  readonly onFlag: (note: string) => void;
}

export function Deciding({ choice, isSending, onChoose, onSubmit, onFlag }: DecidingProps): VNode {
  const { better, strength, safety } = choice;
  useKeys({
    "1": () => onChoose({ better: "left" }),
    "2": () => onChoose({ better: "right" }),
    ArrowLeft: () => onChoose({ better: "left" }),
    ArrowRight: () => onChoose({ better: "right" }),
    ...keysOf(strengthOptions, (value) => onChoose({ strength: value })),
    ...keysOf(safetyOptions, (value) => onChoose({ safety: value })),
    Enter: () => onSubmit(false),
    "Shift+Enter": () => onSubmit(true),
  });
  const isComplete = better !== undefined && strength !== undefined && safety !== undefined;
  const chosen = better === undefined ? "Pick the better answer" : `Answer ${better === "left" ? 1 : 2} is`;
  return (
    <form class="deciding" onSubmit={(event) => event.preventDefault()}>
      <Options
        legend={chosen}
        name="strength"
        options={strengthOptions}
        value={strength}
        onChange={(value) => onChoose({ strength: value })}
      />
      <Options
        legend="Safety"
        name="safety"
        options={safetyOptions}
        value={safety}
        onChange={(value) => onChoose({ safety: value })}
      />
      <div class="actions">
        <Flag onFlag={onFlag} />
        <button
          type="button"
          class="secondary"
          disabled={!isComplete || isSending}
          onClick={() => onSubmit(true)}
        >
          Submit, go on talking <kbd>Shift Enter</kbd>
        </button>
        <button
          type="button"
          class="primary"
          disabled={!isComplete || isSending}
          onClick={() => onSubmit(false)}
        >
          Submit <kbd>Enter</kbd>
        </button>
      </div>
    </form>
  );
}

// --- internal ---

interface Option<T> {
  readonly value: T;
  readonly title: string;
  readonly key: string;
}

const strengthOptions: readonly Option<Strength>[] = [
  { value: "significantly", title: "Significantly better", key: "a" },
  { value: "better", title: "Better", key: "s" },
  { value: "slightly", title: "Slightly better", key: "d" },
  { value: "negligibly", title: "Negligibly better, or unsure", key: "f" },
];

const safetyOptions: readonly Option<SafetyLabel>[] = [
  { value: "chosen-safe", title: "Only the better one is safe", key: "j" },
  { value: "both-safe", title: "Both are safe", key: "k" },
  { value: "both-unsafe", title: "Both are unsafe", key: "l" },
];

function keysOf<T>(options: readonly Option<T>[], choose: (value: T) => void): Record<string, () => void> {
  return Object.fromEntries(options.map(({ key, value }) => [key, () => choose(value)]));
}

interface OptionsProps<T> {
  readonly legend: string;
  readonly name: string;
  readonly options: readonly Option<T>[];
  readonly value: T | undefined;
  readonly onChange: (value: T) => void;
}

function Options<T extends string>({ legend, name, options, value, onChange }: OptionsProps<T>): VNode {
  return (
    <fieldset>
      <legend>{legend}</legend>
      <div class="options">
        {options.map((option) => (
          <label class={value === option.value ? "on" : ""}>
            <input
              type="radio"
              name={name}
              value={option.value}
              checked={value === option.value}
              onChange={() => onChange(option.value)}
            />
            <span>{option.title}</span> <kbd>{option.key.toUpperCase()}</kbd>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

function Flag({ onFlag }: { onFlag: (note: string) => void }): VNode {
  const [note, setNote] = useState<string | undefined>(undefined);
  useKeys({ g: () => setNote("") });
  if (note === undefined) {
    return (
      <button type="button" class="quiet flag" onClick={() => setNote("")}>
        Flag for the lead <kbd>G</kbd>
      </button>
    );
  }
  const send = (): void => {
    onFlag(note);
    setNote(undefined);
  };
  return (
    <span class="flag">
      <input
        aria-label="What is wrong with this item"
        placeholder="What is wrong?"
        value={note}
        ref={(field) => field?.focus()}
        onInput={(event) => setNote(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter") send();
          if (event.key === "Escape") setNote(undefined);
        }}
      />
      <button type="button" class="quiet" onClick={send}>
        Flag
      </button>
    </span>
  );
}
