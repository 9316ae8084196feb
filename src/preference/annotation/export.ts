/** What was annotated, and what was imported, as comparisons to train on. */

import type { Dialog } from "../../dialog/message.ts";
import type { Comparison, Quality, SafetyLabel, Strength } from "../comparison.ts";
import type { Queries } from "../database.ts";
import { comparisonOfPair, type Exclusion } from "../pair.ts";
import { judgeLabel, type Annotator } from "./annotators.ts";

export interface ExportOptions {
  /** Names of batches; all when left out. */
  readonly batches?: readonly string[];
  readonly split?: "train" | "test";
  readonly quality?: Quality;
}

export interface Exported {
  /**
   * Those annotated here in the order they were begun, an item that several annotators decided once, by the first of
   * them; then those imported.
   */
  readonly comparisons: readonly Comparison[];
  /** Left out: the annotator flagged the item for the lead. */
  readonly flagged: number;
  /** Left out: further annotators' comparisons of the same items, which only agreement is told by. */
  readonly repeated: number;
  /** Left out: no comparison, by reason, such as equal answers. */
  readonly excluded: ReadonlyMap<Exclusion, number>;
}

export async function exportComparisons(queries: Queries, options: ExportOptions = {}): Promise<Exported> {
  const rows = await queries.query<Row>(
    `select t.history, t.question, l.content as left, r.content as right, d.better, d.strength, d.safety, b.quality,
       a.name, a.kind, t.overlap_of is not null as "isRepeated", f.task_id is not null as "isFlagged"
     from tasks t join decisions d on d.task_id = t.id and d.kind = 'compare'
       join batches b on b.id = t.batch_id join annotators a on a.id = t.annotator_id
       join answers l on l.task_id = t.id and l.side = 'left'
       join answers r on r.task_id = t.id and r.side = 'right'
       left join flags f on f.task_id = t.id
     where ($1::text[] is null or b.name = any($1)) and ($2::text is null or b.split = $2)
       and ($3::text is null or b.quality = $3)
     order by b.opened_at, t.number`,
    filterOf(options),
  );
  const firsts = rows.filter(({ isRepeated }) => !isRepeated);
  const clear = firsts.filter(({ isFlagged }) => !isFlagged);
  const comparisons: Comparison[] = [];
  const excluded = new Map<Exclusion, number>();
  for (const row of clear) {
    const read = comparisonOf(row);
    if (typeof read === "string") excluded.set(read, (excluded.get(read) ?? 0) + 1);
    else comparisons.push(read);
  }
  for await (const imported of importedComparisons(queries, options)) comparisons.push(imported);
  const flagged = firsts.length - clear.length;
  return { comparisons, flagged, repeated: rows.length - firsts.length, excluded };
}

// --- internal ---

interface Row {
  readonly history: Dialog;
  readonly question: string;
  readonly left: string;
  readonly right: string;
  readonly better: "left" | "right";
  readonly strength: Strength;
  readonly safety: SafetyLabel | null;
  readonly quality: Quality;
  readonly name: string;
  readonly kind: Annotator["kind"];
  readonly isRepeated: boolean;
  readonly isFlagged: boolean;
}

function comparisonOf(row: Row): Comparison | Exclusion {
  const { strength, safety, quality } = row;
  const judge = judgeLabel(row);
  const prompt = [...row.history, { role: "user" as const, content: row.question }];
  const answered = (side: "left" | "right"): Dialog => [...prompt, { role: "assistant", content: row[side] }];
  return comparisonOfPair(
    {
      chosen: answered(row.better),
      rejected: answered(row.better === "left" ? "right" : "left"),
      strength,
      ...(safety === null ? {} : { safety }),
    },
    { quality, judge, largestMargin: 0 },
  );
}

/** Rows that are read at once: a data set of 160 000 in one answer would be more than the embedded database gives. */
const page = 5000;

async function* importedComparisons(queries: Queries, options: ExportOptions): AsyncGenerator<Comparison> {
  const batches = await queries.query<{ id: string; quality: Quality }>(
    `select b.id, b.quality from batches b where b.source is not null
       and ($1::text[] is null or b.name = any($1)) and ($2::text is null or b.split = $2)
       and ($3::text is null or b.quality = $3) order by b.opened_at, b.name`,
    filterOf(options),
  );
  for (const { id, quality } of batches) {
    for (let first = 0, count = page; count === page; first += page) {
      const rows = await queries.query<ImportedRow>(
        `select prompt, chosen, rejected, strength, safety, judge from imported_comparisons
         where batch_id = $1 and place >= $2 and place < $3 order by place`,
        [id, first, first + page],
      );
      for (const { strength, safety, ...row } of rows) {
        yield {
          ...row,
          ...(strength === null ? {} : { strength }),
          ...(safety === null ? {} : { safety }),
          quality,
        };
      }
      count = rows.length;
    }
  }
}

interface ImportedRow extends Pick<Comparison, "prompt" | "chosen" | "rejected" | "judge"> {
  readonly strength: Strength | null;
  readonly safety: SafetyLabel | null;
}

function filterOf({ batches, split, quality }: ExportOptions): unknown[] {
  return [batches ?? null, split ?? null, quality ?? null];
}
