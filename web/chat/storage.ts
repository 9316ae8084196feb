/** Conversations and settings in the browser's own storage; nothing of them is kept on the server. */

import type { Conversation } from "./conversation.ts";
import { defaultSettings, type Settings } from "./settings.ts";

const keys = { conversations: "cria.conversations", settings: "cria.settings", apiKey: "cria.api-key" };

export function loadConversations(): Conversation[] {
  const stored = read(localStorage, keys.conversations);
  return Array.isArray(stored) ? stored.filter(isConversation) : [];
}

/** The oldest go when there is no room for all. */
export function saveConversations(conversations: readonly Conversation[]): void {
  let kept = conversations.filter(({ turns }) => turns.length > 0);
  while (!write(localStorage, keys.conversations, kept) && kept.length > 1) {
    const oldest = Math.min(...kept.map(({ changed }) => changed));
    kept = kept.filter(({ changed }) => changed > oldest);
  }
}

export function loadSettings(): Settings {
  const stored = read(localStorage, keys.settings);
  return typeof stored === "object" && stored !== null ? { ...defaultSettings, ...stored } : defaultSettings;
}

export function saveSettings(settings: Settings): void {
  write(localStorage, keys.settings, settings);
}

/** A key is forgotten with its tab. */
export function loadApiKey(): string {
  const stored = read(sessionStorage, keys.apiKey);
  return typeof stored === "string" ? stored : "";
}

export function saveApiKey(key: string): void {
  write(sessionStorage, keys.apiKey, key);
}

// --- internal ---

function read(storage: Storage, key: string): unknown {
  try {
    return JSON.parse(storage.getItem(key) ?? "null") as unknown;
  } catch {
    return null;
  }
}

/** @returns whether there was room. */
function write(storage: Storage, key: string, value: unknown): boolean {
  try {
    storage.setItem(key, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

function isConversation(value: unknown): value is Conversation {
  const { id, system, turns, changed } = (value ?? {}) as Partial<Conversation>;
  return (
    typeof id === "string" &&
    typeof system === "string" &&
    typeof changed === "number" &&
    Array.isArray(turns) &&
    turns.every(
      ({ id, role, content }) =>
        typeof id === "string" && typeof role === "string" && typeof content === "string",
    )
  );
}
