/** What one has done so far. */

import type { VNode } from "preact";
import type { TaskView } from "./api.ts";

export function ProgressLine({ progress }: { progress: TaskView["progress"] }): VNode {
  const { comparisons, skips, secondsAnItem, agreement } = progress;
  return (
    <dl class="progress">
      <Fact name="compared" value={String(comparisons)} />
      <Fact name="skipped" value={String(skips)} />
      <Fact name="an item" value={durationText(secondsAnItem)} />
      {agreement.items > 0 && (
        <Fact
          name={`agreement on ${agreement.items} ${agreement.items === 1 ? "item" : "items"}`}
          value={`${Math.round(100 * agreement.share)}%`}
        />
      )}
    </dl>
  );
}

/** 45 s, 2 min 05 s. */
export function durationText(seconds: number | null): string {
  if (seconds === null) return "–";
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
}

// --- internal ---

function Fact({ name, value }: { name: string; value: string }): VNode {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}
