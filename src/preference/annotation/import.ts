/**
 * Comparisons that others collected, as closed batches beside those collected here: one for each split and quality,
 * each saying where it is from, each comparison who preferred.
 */

import { randomUUID } from "node:crypto";
import { ConfigError } from "../../errors/errors.ts";
import type { Comparison, Quality } from "../comparison.ts";
import { storable, type Database, type Queries } from "../database.ts";
import { findLeakage } from "../leakage.ts";
import { comparisonKey } from "../screen.ts";
import { exportComparisons } from "./export.ts";

export interface Import {
  /** Before the quality and the split in the names of its batches. */
  readonly name: string;
  /** Where it is from, such as a data set's file. */
  readonly source: string;
  readonly train: readonly Comparison[];
  readonly test: readonly Comparison[];
}

export interface Imported {
  readonly batches: readonly { readonly name: string; readonly comparisons: number }[];
  /** Left out: they are in the store, in this order of the answers. */
  readonly known: number;
  /** Left out: their prompts are in the store's other split. */
  readonly leaking: number;
}

/**
 * Adds what the store does not have, in one transaction: all of it is there afterwards or, when the process dies, none.
 *
 * @throws {ConfigError} for a batch's name that is taken.
 */
export async function importComparisons(
  database: Database,
  { train, test, ...about }: Import,
): Promise<Imported> {
  return database.transaction(async (queries) => {
    // Two imports at once would each find the other's comparisons missing.
    await queries.query("select pg_advisory_xact_lock(720771)");
    const stored = {
      train: (await exportComparisons(queries, { split: "train" })).comparisons,
      test: (await exportComparisons(queries, { split: "test" })).comparisons,
    };
    const keys = new Set([...stored.train, ...stored.test].map(comparisonKey));
    const isNew = (comparison: Comparison): boolean => !keys.has(comparisonKey(comparison));
    const fresh = { train: train.filter(isNew), test: test.filter(isNew) };
    const kept = {
      train: withoutPromptsOf(stored.test, fresh.train),
      test: withoutPromptsOf(stored.train, fresh.test),
    };
    const batches: { name: string; comparisons: number }[] = [];
    for (const split of ["train", "test"] as const) {
      for (const quality of ["helpfulness", "safety"] as const) {
        const comparisons = kept[split].filter((comparison) => comparison.quality === quality);
        const batch = { ...about, name: `${about.name} ${quality} ${split}`, split, quality };
        if (comparisons.length === 0) continue;
        await insertBatch(queries, batch, comparisons);
        batches.push({ name: batch.name, comparisons: comparisons.length });
      }
    }
    const counts = [fresh, kept].map((sets) => sets.train.length + sets.test.length) as [number, number];
    return {
      batches,
      known: train.length + test.length - counts[0],
      leaking: counts[0] - counts[1],
    };
  });
}

// --- internal ---

interface NewBatch {
  readonly name: string;
  readonly source: string;
  readonly split: "train" | "test";
  readonly quality: Quality;
}

/** Rows that one statement adds. */
const chunk = 500;

function withoutPromptsOf(others: readonly Comparison[], comparisons: readonly Comparison[]): Comparison[] {
  const { equal, overlapping } = findLeakage(others, comparisons);
  const leaking = new Set([...equal, ...overlapping]);
  return comparisons.filter((_, place) => !leaking.has(place));
}

async function insertBatch(
  queries: Queries,
  { name, source, split, quality }: NewBatch,
  comparisons: readonly Comparison[],
): Promise<void> {
  const id = randomUUID();
  const made = await queries.query(
    `insert into batches (id, name, policy_version, quality, split, overlap_share, source)
     values ($1, $2, 'not stated', $3, $4, 0, $5) on conflict (name) do nothing returning id`,
    [id, name, quality, split, source],
  );
  if (made.length === 0) {
    throw new ConfigError(`there is a batch "${name}" already`, {
      mend: "Give another name by --batch NAME.",
    });
  }
  for (let first = 0; first < comparisons.length; first += chunk) {
    const rows = comparisons.slice(first, first + chunk).map((comparison, i) => rowOf(comparison, first + i));
    await queries.query(
      `insert into imported_comparisons (batch_id, place, prompt, chosen, rejected, strength, safety, judge)
       select $1, place, prompt, chosen, rejected, strength, safety, judge from jsonb_to_recordset($2::jsonb) as
         (place int, prompt jsonb, chosen text, rejected text, strength text, safety text, judge text)`,
      [id, JSON.stringify(rows)],
    );
  }
  await queries.query("update batches set closed_at = now() where id = $1", [id]);
}

function rowOf({ prompt, chosen, rejected, ...about }: Comparison, place: number): Record<string, unknown> {
  return {
    place,
    prompt: prompt.map(({ role, content }) => ({ role, content: storable(content) })),
    chosen: storable(chosen),
    rejected: storable(rejected),
    strength: about.strength ?? null,
    safety: about.safety ?? null,
    judge: storable(about.judge),
  };
}
