/** The lead's view: batches, who did what, how far they agree, which variant wins. */

import type { VNode } from "preact";
import { useCallback, useEffect, useState } from "preact/hooks";
import { call, type LeadBatch, type LeadView } from "./api.ts";
import { BatchForm, InvitationForm } from "./lead-forms.tsx";
import { durationText } from "./progress-line.tsx";

const refreshMs = 10_000;

export function Dashboard(): VNode {
  const [view, setView] = useState<LeadView | undefined>(undefined);
  const [problem, setProblem] = useState("");
  const load = useCallback(async (): Promise<void> => {
    try {
      setView(await call<LeadView>("GET", "/lead/batches"));
      setProblem("");
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
  }, []);
  useEffect(() => {
    void load();
    const timer = setInterval(() => void load(), refreshMs);
    return () => clearInterval(timer);
  }, [load]);
  return (
    <main class="dashboard">
      <div class="notice" role="status">
        {problem}
      </div>
      {view !== undefined && (
        <>
          <div class="forms">
            <BatchForm variants={view.variants} onDone={() => void load()} />
            <InvitationForm />
          </div>
          <div class="toolbar">
            <h2>Batches</h2>
            <a href="/annotate/api/lead/export" download="preferences.jsonl">
              Export all
            </a>
          </div>
          {view.batches.toReversed().map((batch) => (
            <BatchCard key={batch.id} batch={batch} onChange={() => void load()} onProblem={setProblem} />
          ))}
        </>
      )}
    </main>
  );
}

// --- internal ---

interface BatchCardProps {
  readonly batch: LeadBatch;
  readonly onChange: () => void;
  readonly onProblem: (problem: string) => void;
}

function BatchCard({ batch, onChange, onProblem }: BatchCardProps): VNode {
  const close = (): void => {
    if (!confirm(`Close "${batch.name}"? It can then not be changed, nor opened again.`)) return;
    call("POST", `/lead/batches/${batch.id}/close`, {}).then(onChange, (error: Error) =>
      onProblem(error.message),
    );
  };
  return (
    <article class="card">
      <div class="toolbar">
        <h3>{batch.name}</h3>
        <ul class="tags">
          <li class={batch.closedAt === null ? "open" : ""}>{batch.closedAt === null ? "open" : "closed"}</li>
          <li>{batch.source === null ? `policy ${batch.policyVersion}` : "imported"}</li>
          <li>{batch.quality}</li>
          <li>{batch.split}</li>
        </ul>
        <a
          href={`/annotate/api/lead/export?batch=${encodeURIComponent(batch.name)}`}
          download={`${batch.name}.jsonl`}
        >
          Export
        </a>
        {batch.closedAt === null && (
          <button type="button" class="secondary" onClick={close}>
            Close
          </button>
        )}
      </div>
      {batch.source === null ? (
        <p class="soft">
          {batch.isBlind
            ? "You annotate this batch, so what it compares and which wins is shown when it is closed."
            : `Compares ${batch.variants.map(({ name }) => name).join(" and ")}.`}{" "}
          {Math.round(100 * batch.overlapShare)}% of items are repeated by a second annotator.
        </p>
      ) : (
        <p class="soft">
          Imported from {batch.source}. Judged by{" "}
          {batch.judges.map(({ name, comparisons }) => `${name}: ${comparisons}`).join(", ")}.
        </p>
      )}
      <WinRates batch={batch} />
      <Shares title="How clear" counts={batch.strengths} names={strengthNames} />
      <Shares title="How safe" counts={batch.safety} names={safetyNames} />
      {batch.source === null && <Annotators batch={batch} />}
    </article>
  );
}

const strengthNames = {
  significantly: "significantly",
  better: "better",
  slightly: "slightly",
  negligibly: "negligibly, unsure",
  "not stated": "not stated",
};
const safetyNames = {
  "chosen-safe": "only the better one",
  "both-safe": "both",
  "both-unsafe": "neither",
  "not stated": "not stated",
};

function percent(share: number): string {
  return `${Math.round(100 * share)}%`;
}

/** A bar from 0 to 1 with the interval on it; the middle is no difference. */
function WinRates({ batch }: { batch: LeadBatch }): VNode {
  return (
    <>
      {batch.winRates
        .filter(({ wins }) => wins.wins + wins.losses > 0)
        .map((pair) => (
          <figure class="wins" key={`${pair.first} ${pair.second}`}>
            <figcaption>
              <b>{pair.first}</b> wins {percent(pair.wins.rate)} of {pair.wins.wins + pair.wins.losses}{" "}
              against <b>{pair.second}</b>{" "}
              <span class="soft">
                (95% interval {percent(pair.wins.low)} to {percent(pair.wins.high)})
              </span>
            </figcaption>
            <svg viewBox="0 0 200 12" preserveAspectRatio="none" aria-hidden="true">
              <rect class="track" x="0" y="4" width="200" height="4" />
              <rect
                class="interval"
                x={200 * pair.wins.low}
                y="3"
                width={200 * (pair.wins.high - pair.wins.low)}
                height="6"
              />
              <rect class="middle" x="99.5" y="0" width="1" height="12" />
              <rect class="rate" x={200 * pair.wins.rate - 1} y="0" width="2" height="12" />
            </svg>
          </figure>
        ))}
    </>
  );
}

interface SharesProps {
  readonly title: string;
  readonly counts: Readonly<Record<string, number>>;
  readonly names: Readonly<Record<string, string>>;
}

function Shares({ title, counts, names }: SharesProps): VNode | null {
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  return (
    <dl class="shares">
      <dt>{title}</dt>
      {Object.entries(names)
        .filter(([name]) => name !== "not stated" || counts[name] !== undefined)
        .map(([name, words]) => (
          <dd>
            {words} <b>{percent((counts[name] ?? 0) / total)}</b>
          </dd>
        ))}
    </dl>
  );
}

function Annotators({ batch }: { batch: LeadBatch }): VNode {
  const { annotators, agreement, safetyAgreement } = batch;
  if (annotators.length === 0) return <p class="soft">Nobody has begun.</p>;
  return (
    <>
      <div class="scroll" tabIndex={0} role="region" aria-label={`Annotators of ${batch.name}`}>
        <table>
          <thead>
            <tr>
              <th scope="col">Annotator</th>
              <th scope="col">Compared</th>
              <th scope="col">Repeated</th>
              <th scope="col">Skipped</th>
              <th scope="col">Flagged</th>
              <th scope="col">An item</th>
              <th scope="col">Agreement</th>
            </tr>
          </thead>
          <tbody>
            {annotators.map((row) => (
              <tr>
                <th scope="row">
                  {row.name} {row.kind !== "person" && <span class="stand-in">{row.kind}</span>}
                </th>
                <td>{row.comparisons}</td>
                <td>{row.repeated}</td>
                <td>{row.skips}</td>
                <td>{row.flags}</td>
                <td>{durationText(row.secondsAnItem)}</td>
                <td>
                  {row.agreement.items === 0
                    ? "–"
                    : `${percent(row.agreement.share)} of ${row.agreement.items}`}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="soft">
        {agreement.items === 0
          ? "No item was decided twice yet."
          : `Of ${agreement.items} items decided twice, ${percent(agreement.share)} the same way (AC1 ${agreement.ac1.toFixed(2)}); safety labels ${percent(safetyAgreement ?? 0)}.`}
      </p>
    </>
  );
}
