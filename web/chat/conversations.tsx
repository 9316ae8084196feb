/** The list of conversations. */

import type { VNode } from "preact";
import { titleOf } from "./conversation.ts";
import type { State } from "./store.ts";

interface ConversationsProps {
  readonly state: State;
  readonly onStart: () => void;
  readonly onOpen: (id: string) => void;
  readonly onRemove: (id: string) => void;
  readonly onUndo: () => void;
}

export function Conversations({ state, onStart, onOpen, onRemove, onUndo }: ConversationsProps): VNode {
  const shown = state.conversations.filter(({ turns }) => turns.length > 0);
  return (
    <nav aria-label="Conversations">
      <p class="brand">Cria</p>
      <button class="start" type="button" onClick={onStart} title="New conversation (Alt+N)">
        New conversation
      </button>
      <ul>
        {shown.map((conversation) => {
          const title = titleOf(conversation);
          return (
            <li key={conversation.id}>
              <button
                type="button"
                class="open"
                aria-current={conversation.id === state.openId ? "true" : undefined}
                onClick={() => onOpen(conversation.id)}
              >
                {title}
              </button>
              <button
                type="button"
                class="icon small"
                aria-label={`Delete: ${title}`}
                onClick={() => onRemove(conversation.id)}
              >
                <svg viewBox="0 0 20 20" aria-hidden="true">
                  <path d="m6 6 8 8m0-8-8 8" />
                </svg>
              </button>
            </li>
          );
        })}
      </ul>
      {state.deleted !== undefined && (
        <p class="undo" role="status">
          Deleted.{" "}
          <button type="button" onClick={onUndo}>
            Undo
          </button>
        </p>
      )}
      <p class="small-print">Conversations stay in this browser.</p>
    </nav>
  );
}
