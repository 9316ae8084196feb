/** Keys that work anywhere on the page but in a field that is written in. */

import { useEffect } from "preact/hooks";

/** By the key's character, lower case, with `Shift+` before it where that is held. */
export type Keys = Readonly<Record<string, (() => void) | undefined>>;

export function useKeys(keys: Keys): void {
  useEffect(() => {
    const listener = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat) return;
      if (isForTarget(event) || document.querySelector("dialog[open]") !== null) return;
      const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
      const action = keys[event.shiftKey ? `Shift+${name}` : name];
      if (action === undefined) return;
      event.preventDefault();
      action();
    };
    document.addEventListener("keydown", listener);
    return () => document.removeEventListener("keydown", listener);
  });
}

// --- internal ---

/** Whether what has the focus takes the key itself. */
function isForTarget({ key, target }: KeyboardEvent): boolean {
  if (target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement) return true;
  if (target instanceof HTMLInputElement && target.type !== "radio") return true;
  // Enter presses a button; arrows move within a group of choices, and scroll a text.
  if (key === "Enter") return target instanceof HTMLButtonElement || target instanceof HTMLAnchorElement;
  return key.startsWith("Arrow") && target !== document.body;
}
