/** What to look for, by what the batch is about. */

import type { VNode } from "preact";
import { useState } from "preact/hooks";
import type { Guidelines } from "../../src/preference/annotation/guidelines.ts";
import type { Quality } from "../../src/preference/comparison.ts";
import { useKeys } from "./keys.ts";

export function GuidelinesPanel({
  guidelines,
  quality,
}: {
  guidelines: Guidelines;
  quality: Quality;
}): VNode {
  const [isOpen, setOpen] = useState(true);
  useKeys({ "?": () => setOpen(!isOpen), "Shift+?": () => setOpen(!isOpen) });
  return (
    <details class="guidelines" open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        {quality === "safety" ? "Safety guidelines" : "Helpfulness guidelines"} <kbd>?</kbd>
      </summary>
      <div>
        <section>
          <h3>The prompt</h3>
          <ul>
            {guidelines.write.map((line) => (
              <li>{line}</li>
            ))}
          </ul>
        </section>
        <section>
          <h3>The better answer</h3>
          <ul>
            {guidelines.compare.map((line) => (
              <li>{line}</li>
            ))}
          </ul>
        </section>
      </div>
    </details>
  );
}
