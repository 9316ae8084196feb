/** What the page shows and what the reader does: one state, changed here only, kept in the browser. */

import { ApiError, listModels, streamChat } from "./api.ts";
import {
  ask,
  editQuestion,
  messagesOf,
  newConversation,
  regenerate,
  withAnswer,
  withSystem,
  type Conversation,
} from "./conversation.ts";
import { requestOf, type Settings } from "./settings.ts";
import {
  loadApiKey,
  loadConversations,
  loadSettings,
  saveApiKey,
  saveConversations,
  saveSettings,
} from "./storage.ts";

export interface State {
  readonly conversations: readonly Conversation[];
  readonly openId: string;
  readonly settings: Settings;
  readonly models: readonly string[];
  readonly apiKey: string;
  /** The conversation that is being answered. */
  readonly answering: string | undefined;
  /** Tokens a second of the answer that is being written. */
  readonly liveSpeed: number | undefined;
  /** What went wrong outside of an answer. */
  readonly notice: string | undefined;
  /** A conversation that was deleted last, for undoing it. */
  readonly deleted: Conversation | undefined;
}

export interface Store {
  readonly get: () => State;
  readonly subscribe: (listener: () => void) => () => void;
  readonly actions: Actions;
}

export interface Actions {
  connect(): Promise<void>;
  setApiKey(key: string): Promise<void>;
  open(id: string): void;
  start(): void;
  remove(id: string): void;
  undoRemove(): void;
  setSettings(change: Partial<Settings>): void;
  setSystem(system: string): void;
  send(question: string): Promise<void>;
  edit(turnId: string, question: string): Promise<void>;
  again(): Promise<void>;
  stop(): void;
}

export function createStore(): Store {
  const stored = loadConversations().toSorted((a, b) => b.changed - a.changed);
  const fresh = newConversation(stored[0]?.system);
  let state: State = {
    conversations: [fresh, ...stored],
    openId: fresh.id,
    settings: loadSettings(),
    models: [],
    apiKey: loadApiKey(),
    answering: undefined,
    liveSpeed: undefined,
    notice: undefined,
    deleted: undefined,
  };
  const listeners = new Set<() => void>();
  const set = (change: Partial<State>): void => {
    state = { ...state, ...change };
    for (const listener of listeners) listener();
  };
  return {
    get: () => state,
    subscribe: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    actions: createActions(() => state, set),
  };
}

export function openConversation(state: State): Conversation {
  return state.conversations.find(({ id }) => id === state.openId) ?? state.conversations[0]!;
}

// --- internal ---

type Change = (change: Partial<State>) => void;

function createActions(get: () => State, set: Change): Actions {
  const replace = (conversation: Conversation): void =>
    set({
      conversations: get().conversations.map((old) => (old.id === conversation.id ? conversation : old)),
    });
  const answers = answerActions({ get, set, replace });
  return {
    ...answers,
    ...listActions({ get, set, replace }, answers.stop),
    async connect() {
      try {
        const models = await listModels({ apiKey: get().apiKey });
        const { model } = get().settings;
        set({ models, notice: undefined });
        if (!models.includes(model)) set({ settings: { ...get().settings, model: models[0] ?? "" } });
      } catch (error) {
        set({ notice: wordsOf(error) });
      }
    },
    async setApiKey(apiKey) {
      saveApiKey(apiKey);
      set({ apiKey });
      await this.connect();
    },
    setSettings(change) {
      set({ settings: { ...get().settings, ...change } });
      saveSettings(get().settings);
    },
  };
}

interface Access {
  readonly get: () => State;
  readonly set: Change;
  readonly replace: (conversation: Conversation) => void;
}

function answerActions({ get, set, replace }: Access): Pick<Actions, "send" | "edit" | "again" | "stop"> {
  let abort: AbortController | undefined;
  const answer = async (conversation: Conversation): Promise<void> => {
    if (get().answering !== undefined) return;
    replace(conversation);
    saveConversations(get().conversations);
    abort = new AbortController();
    set({ answering: conversation.id, notice: undefined, liveSpeed: undefined });
    await receive(conversation, { get, set, signal: abort.signal });
    set({ answering: undefined, liveSpeed: undefined });
    saveConversations(get().conversations);
  };
  return {
    send: (question) => answer(ask(openConversation(get()), question)),
    edit: (turnId, question) => answer(editQuestion(openConversation(get()), turnId, question)),
    again: () => answer(regenerate(openConversation(get()))),
    stop: () => abort?.abort(),
  };
}

function listActions(
  { get, set, replace }: Access,
  stop: () => void,
): Pick<Actions, "open" | "start" | "remove" | "undoRemove" | "setSystem"> {
  return {
    open: (openId) => set({ openId }),
    start() {
      const empty = get().conversations.find(({ turns }) => turns.length === 0);
      const next = empty ?? newConversation(openConversation(get()).system);
      const others = get().conversations.filter(({ id }) => id !== next.id);
      set({ conversations: [next, ...others], openId: next.id });
    },
    remove(id) {
      if (get().answering === id) stop();
      const deleted = get().conversations.find((conversation) => conversation.id === id);
      const left = get().conversations.filter((conversation) => conversation.id !== id);
      const conversations = left.length > 0 ? left : [newConversation()];
      const openId = get().openId === id ? conversations[0]!.id : get().openId;
      set({ conversations, openId, deleted });
      saveConversations(conversations);
    },
    undoRemove() {
      const { deleted, conversations } = get();
      if (deleted === undefined) return;
      set({ conversations: [deleted, ...conversations], openId: deleted.id, deleted: undefined });
      saveConversations(get().conversations);
    },
    setSystem(system) {
      replace(withSystem(openConversation(get()), system));
      saveConversations(get().conversations);
    },
  };
}

interface Receiving {
  readonly get: () => State;
  readonly set: Change;
  readonly signal: AbortSignal;
}

/** Streams the answer into the conversation's last turn, at most once a frame. */
async function receive(conversation: Conversation, { get, set, signal }: Receiving): Promise<void> {
  let content = "";
  let pieces = 0;
  let first = 0;
  let frame = 0;
  const show = (change: Parameters<typeof withAnswer>[1]): void => {
    const conversations = get().conversations.map((old) =>
      old.id === conversation.id ? withAnswer(old, change) : old,
    );
    set({ conversations });
  };
  const showSoon = (): void => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      show({ content });
      const seconds = (performance.now() - first) / 1000;
      if (seconds > 0.5) set({ liveSpeed: pieces / seconds });
    });
  };
  const request = { settings: requestOf(get().settings), messages: messagesOf(conversation) };
  try {
    for await (const event of streamChat({ apiKey: get().apiKey }, request, signal)) {
      if (event.type === "done") {
        show({ content, stats: event.stats });
        continue;
      }
      if (pieces === 0) first = performance.now();
      pieces += 1;
      content += event.text;
      showSoon();
    }
  } catch (error) {
    show({ content, failure: signal.aborted ? "Stopped." : wordsOf(error) });
  } finally {
    cancelAnimationFrame(frame);
  }
}

function wordsOf(error: unknown): string {
  if (error instanceof ApiError && error.status === 401) return "This server wants an API key: see Settings.";
  if (error instanceof TypeError) return "The server cannot be reached.";
  return error instanceof Error ? error.message : String(error);
}
