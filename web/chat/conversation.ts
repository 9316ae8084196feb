/** Conversations as plain data, and what may happen to them: each function returns a new one. */

export interface Turn {
  readonly id: string;
  readonly role: "user" | "assistant";
  readonly content: string;
  /** Of an answer: what it took, when it is done. */
  readonly stats?: TurnStats;
  /** Why an answer ended before it was whole. */
  readonly failure?: string;
}

export interface TurnStats {
  readonly tokens: number;
  readonly promptTokens: number;
  /** From the request to the first token. */
  readonly firstTokenMs: number;
  /** From the first token to the last. */
  readonly answerMs: number;
  readonly reason: string;
}

export interface Conversation {
  readonly id: string;
  readonly system: string;
  readonly turns: readonly Turn[];
  /** Milliseconds since 1970 of the last change. */
  readonly changed: number;
}

export function newConversation(system = ""): Conversation {
  return { id: newId(), system, turns: [], changed: Date.now() };
}

export function newId(): string {
  // crypto.randomUUID wants a secure context, which a server on a local network is not.
  return Array.from(crypto.getRandomValues(new Uint32Array(3)), (word) => word.toString(36)).join("");
}

/** The first question, shortened: what a conversation is called in the list. */
export function titleOf({ turns }: Conversation): string {
  const first = turns[0]?.content.replaceAll(/\s+/g, " ").trim() ?? "";
  if (first === "") return "New conversation";
  return first.length > 60 ? `${first.slice(0, 59)}…` : first;
}

/** The question and an empty answer to it are added. */
export function ask(conversation: Conversation, question: string): Conversation {
  return withTurns(conversation, [
    ...conversation.turns,
    { id: newId(), role: "user", content: question },
    { id: newId(), role: "assistant", content: "" },
  ]);
}

/** A question is asked in other words: what came after it is forgotten. */
export function editQuestion(conversation: Conversation, id: string, question: string): Conversation {
  const at = conversation.turns.findIndex((turn) => turn.id === id);
  if (at < 0) return conversation;
  return ask(withTurns(conversation, conversation.turns.slice(0, at)), question);
}

/** The last answer is asked for again. */
export function regenerate(conversation: Conversation): Conversation {
  const last = conversation.turns.findLastIndex((turn) => turn.role === "user");
  if (last < 0) return conversation;
  return editQuestion(conversation, conversation.turns[last]!.id, conversation.turns[last]!.content);
}

/** The last answer as it stands now. */
export function withAnswer(
  conversation: Conversation,
  answer: Partial<Omit<Turn, "id" | "role">>,
): Conversation {
  const last = conversation.turns.at(-1);
  if (last?.role !== "assistant") return conversation;
  return withTurns(conversation, [...conversation.turns.slice(0, -1), { ...last, ...answer }]);
}

export function withSystem(conversation: Conversation, system: string): Conversation {
  return { ...conversation, system, changed: Date.now() };
}

export interface ApiMessage {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

/** What is sent: everything but the answer that is being waited for. Blank answers, which failed, go with their questions. */
export function messagesOf({ system, turns }: Conversation): ApiMessage[] {
  const messages: ApiMessage[] = system.trim() === "" ? [] : [{ role: "system", content: system }];
  for (const [i, { role, content }] of turns.entries()) {
    const isLast = i >= turns.length - 2;
    if (isLast && role === "assistant") continue;
    if (!isLast && role === "user" && turns[i + 1]?.content.trim() === "") continue;
    if (role === "assistant" && content.trim() === "") continue;
    messages.push({ role, content });
  }
  return messages;
}

// --- internal ---

function withTurns(conversation: Conversation, turns: readonly Turn[]): Conversation {
  return { ...conversation, turns, changed: Date.now() };
}
