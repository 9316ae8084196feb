/** What was done in a batch: by annotator, in agreement, and between variants. */

import type { Database } from "../database.ts";
import { agreement, winRate, type Agreement, type ChoicePair, type WinRate } from "./agreement.ts";
import { listAnnotators, type Annotator } from "./annotators.ts";
import type { Batch } from "./batches.ts";

export interface AnnotatorProgress extends Omit<Annotator, "id" | "role"> {
  readonly comparisons: number;
  /** Of the comparisons, those of another's items. */
  readonly repeated: number;
  readonly skips: number;
  readonly flags: number;
  /** From the start of an item to its decision, the median; null where nothing is decided. */
  readonly secondsAnItem: number | null;
  /** With the others, on items that both decided. */
  readonly agreement: Agreement;
}

export interface VariantPair {
  readonly first: string;
  readonly second: string;
  /** Of the first over the second. */
  readonly wins: WinRate;
}

export interface BatchProgress {
  readonly annotators: readonly AnnotatorProgress[];
  /** Who preferred in comparisons that were imported, and how many they are. */
  readonly judges: readonly { readonly name: string; readonly comparisons: number }[];
  readonly agreement: Agreement;
  /** Share of repeated items whose safety label is the same; null where there are none. */
  readonly safetyAgreement: number | null;
  readonly winRates: readonly VariantPair[];
  readonly strengths: Readonly<Record<string, number>>;
  readonly safety: Readonly<Record<string, number>>;
}

export async function batchProgress(database: Database, batch: Batch): Promise<BatchProgress> {
  const [annotators, counts, repeats, decisions, imported] = await Promise.all([
    listAnnotators(database),
    annotatorCounts(database, batch.id),
    repeatedItems(database, batch.id),
    comparedVariants(database, batch.id),
    importedKinds(database, batch.id),
  ]);
  const labelled = [...decisions.map((one) => ({ ...one, count: 1 })), ...imported];
  return {
    annotators: annotators.flatMap(({ id, name, kind }) => {
      const own = counts.find((row) => row.id === id);
      if (own === undefined) return [];
      const { id: _, ...numbers } = own;
      const theirs = repeats.filter(({ one, other }) => one === id || other === id);
      return [{ name, kind, ...numbers, agreement: agreement(theirs) }];
    }),
    judges: Object.entries(tally(imported.map(({ judge, count }) => [judge, count]))).map(
      ([name, comparisons]) => ({ name, comparisons }),
    ),
    agreement: agreement(repeats),
    safetyAgreement:
      repeats.length === 0
        ? null
        : repeats.filter(({ isSameSafety }) => isSameSafety).length / repeats.length,
    winRates: variantPairs(batch, decisions),
    strengths: tally(labelled.map(({ strength, count }) => [strength, count])),
    safety: tally(labelled.map(({ safety, count }) => [safety, count])),
  };
}

/** What one annotator sees of the own work. */
export async function ownProgress(
  database: Database,
  batch: Batch,
  annotatorId: string,
): Promise<Omit<AnnotatorProgress, "name" | "kind">> {
  const counts = (await annotatorCounts(database, batch.id)).find(({ id }) => id === annotatorId);
  const repeats = await repeatedItems(database, batch.id);
  const { id: _, ...numbers } = counts ?? {
    id: annotatorId,
    comparisons: 0,
    repeated: 0,
    skips: 0,
    flags: 0,
    secondsAnItem: null,
  };
  const own = repeats.filter(({ one, other }) => one === annotatorId || other === annotatorId);
  return { ...numbers, agreement: agreement(own) };
}

// --- internal ---

interface Counts extends Omit<AnnotatorProgress, "name" | "kind" | "agreement"> {
  readonly id: string;
}

function annotatorCounts(database: Database, batchId: string): Promise<Counts[]> {
  return database.query<Counts>(
    `select t.annotator_id as id,
       count(*) filter (where d.kind = 'compare')::int as comparisons,
       count(*) filter (where d.kind = 'compare' and t.overlap_of is not null)::int as repeated,
       count(*) filter (where d.kind = 'skip')::int as skips,
       count(f.task_id)::int as flags,
       (percentile_cont(0.5) within group (order by extract(epoch from d.created_at - t.created_at)::float8)
         filter (where d.kind = 'compare')) as "secondsAnItem"
     from tasks t left join decisions d on d.task_id = t.id left join flags f on f.task_id = t.id
     where t.batch_id = $1 group by t.annotator_id`,
    [batchId],
  );
}

interface Repeat extends ChoicePair {
  readonly one: string;
  readonly other: string;
  readonly isSameSafety: boolean;
}

function repeatedItems(database: Database, batchId: string): Promise<Repeat[]> {
  return database.query<Repeat>(
    `select o.annotator_id as one, c.annotator_id as other, a.better as first,
       case when (c.left_variant = o.left_variant) = (b.better = 'left') then 'left' else 'right' end as second,
       a.safety = b.safety as "isSameSafety"
     from tasks c join tasks o on o.id = c.overlap_of
       join decisions a on a.task_id = o.id and a.kind = 'compare'
       join decisions b on b.task_id = c.id and b.kind = 'compare'
     where c.batch_id = $1`,
    [batchId],
  );
}

interface Compared {
  readonly won: number;
  readonly lost: number;
  readonly strength: string;
  readonly safety: string;
}

/** Each item once, by who had it first. */
function comparedVariants(database: Database, batchId: string): Promise<Compared[]> {
  return database.query<Compared>(
    `select case d.better when 'left' then t.left_variant else t.right_variant end as won,
       case d.better when 'left' then t.right_variant else t.left_variant end as lost, d.strength,
       coalesce(d.safety, 'not stated') as safety
     from tasks t join decisions d on d.task_id = t.id and d.kind = 'compare'
     where t.batch_id = $1 and t.overlap_of is null`,
    [batchId],
  );
}

function variantPairs({ variants }: Batch, decisions: readonly Compared[]): VariantPair[] {
  return variants.flatMap((first) =>
    variants
      .filter(({ place }) => place > first.place)
      .map((second) => {
        const wins = decisions.filter(({ won, lost }) => won === first.place && lost === second.place);
        const losses = decisions.filter(({ won, lost }) => won === second.place && lost === first.place);
        return { first: first.name, second: second.name, wins: winRate(wins.length, losses.length) };
      }),
  );
}

interface ImportedKind {
  readonly judge: string;
  readonly strength: string;
  readonly safety: string;
  readonly count: number;
}

function importedKinds(database: Database, batchId: string): Promise<ImportedKind[]> {
  return database.query<ImportedKind>(
    `select judge, coalesce(strength, 'not stated') as strength, coalesce(safety, 'not stated') as safety,
       count(*)::int as count
     from imported_comparisons where batch_id = $1 group by 1, 2, 3 order by count(*) desc, 1`,
    [batchId],
  );
}

function tally(counted: readonly (readonly [name: string, count: number])[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const [name, count] of counted) counts[name] = (counts[name] ?? 0) + count;
  return counts;
}
