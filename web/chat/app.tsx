/** The page: conversations at the side, the open one in the middle, settings on demand. */

import type { RefObject, VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Composer } from "./composer.tsx";
import { Conversations } from "./conversations.tsx";
import { SettingsDialog } from "./settings-dialog.tsx";
import { openConversation, type State, type Store } from "./store.ts";
import { Turns } from "./turns.tsx";

export function App({ store }: { store: Store }): VNode {
  const state = useStoreState(store);
  const { actions } = store;
  const [isListOpen, setListOpen] = useState(false);
  const [areSettingsOpen, setSettingsOpen] = useState(false);
  const composer = useRef<HTMLTextAreaElement>(null);
  useTheme(state.settings.theme);
  const start = (): void => {
    actions.start();
    setListOpen(false);
    composer.current?.focus();
  };
  useKeys({
    Escape: state.answering === undefined ? undefined : () => actions.stop(),
    "Alt+KeyN": start,
    "Alt+KeyR": () => void actions.again(),
    "Alt+Comma": () => setSettingsOpen(true),
    Slash: () => composer.current?.focus(),
  });
  const conversation = openConversation(state);
  return (
    <div class="page" data-list={isListOpen ? "open" : "closed"}>
      <a class="skip" href="#question">
        Skip to the question
      </a>
      <Conversations
        state={state}
        onStart={start}
        onOpen={(id) => {
          actions.open(id);
          setListOpen(false);
        }}
        onRemove={(id) => actions.remove(id)}
        onUndo={() => actions.undoRemove()}
      />
      <button class="shade" type="button" aria-label="Close the list" onClick={() => setListOpen(false)} />
      <Talk
        store={store}
        state={state}
        composer={composer}
        onList={() => setListOpen(!isListOpen)}
        onSettings={() => setSettingsOpen(true)}
      />
      {areSettingsOpen && (
        <SettingsDialog
          state={state}
          system={conversation.system}
          actions={actions}
          onClose={() => setSettingsOpen(false)}
        />
      )}
    </div>
  );
}

// --- internal ---

interface TalkProps {
  readonly store: Store;
  readonly state: State;
  readonly composer: RefObject<HTMLTextAreaElement | null>;
  readonly onList: () => void;
  readonly onSettings: () => void;
}

function Talk({ store: { actions }, state, composer, onList, onSettings }: TalkProps): VNode {
  const conversation = openConversation(state);
  const isAnswering = state.answering === conversation.id;
  return (
    <main>
      <Header
        state={state}
        onModel={(model) => actions.setSettings({ model })}
        onList={onList}
        onSettings={onSettings}
      />
      <Turns
        conversation={conversation}
        isAnswering={isAnswering}
        isBusy={state.answering !== undefined}
        liveSpeed={state.liveSpeed}
        onEdit={(id, question) => void actions.edit(id, question)}
        onAgain={() => void actions.again()}
      />
      <Notice text={state.notice} onRetry={() => void actions.connect()} />
      <Composer
        key={conversation.id}
        field={composer}
        isAnswering={isAnswering}
        isBusy={state.answering !== undefined}
        onSend={(question) => void actions.send(question)}
        onStop={() => actions.stop()}
      />
    </main>
  );
}

interface HeaderProps {
  readonly state: State;
  readonly onModel: (model: string) => void;
  readonly onList: () => void;
  readonly onSettings: () => void;
}

function Header({ state, onModel, onList, onSettings }: HeaderProps): VNode {
  return (
    <header>
      <button class="icon list-toggle" type="button" aria-label="Conversations" onClick={onList}>
        <svg viewBox="0 0 20 20" aria-hidden="true">
          <path d="M3 5h14M3 10h14M3 15h9" />
        </svg>
      </button>
      <label class="model">
        <span class="hidden">Model</span>
        <select value={state.settings.model} onChange={(event) => onModel(event.currentTarget.value)}>
          {state.models.length === 0 && <option value="">no model</option>}
          {state.models.map((model) => (
            <option key={model} value={model}>
              {model}
            </option>
          ))}
        </select>
      </label>
      <button class="icon" type="button" aria-label="Settings" title="Settings (Alt+,)" onClick={onSettings}>
        <svg viewBox="0 0 20 20" aria-hidden="true">
          <path d="M3 6h8m4 0h2M3 14h2m4 0h8M13 4v4M7 12v4" />
        </svg>
      </button>
    </header>
  );
}

function Notice({ text, onRetry }: { text: string | undefined; onRetry: () => void }): VNode | null {
  if (text === undefined) return null;
  return (
    <p class="notice" role="alert">
      {text}{" "}
      <button type="button" onClick={onRetry}>
        Try again
      </button>
    </p>
  );
}

/** Keys of the whole page, by `KeyboardEvent.code`; those without Alt wait while somebody types. */
function useKeys(keys: Readonly<Record<string, (() => void) | undefined>>): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const isTyping = event.target instanceof Element && event.target.matches("input, textarea, select");
      if (isTyping && !event.altKey && event.key !== "Escape") return;
      const act = keys[`${event.altKey ? "Alt+" : ""}${event.code}`];
      if (act === undefined || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      act();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  });
}

function useStoreState(store: Store): State {
  const [state, setState] = useState(store.get());
  useEffect(() => store.subscribe(() => setState(store.get())), [store]);
  return state;
}

function useTheme(theme: State["settings"]["theme"]): void {
  useEffect(() => {
    if (theme === "auto") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = theme;
  }, [theme]);
}
