/**
 * Batches of annotation (Llama 2 §3.2.1 collects weekly): one policy's variants, one quality, one split. Closed, a batch
 * never changes again.
 */

import { randomUUID } from "node:crypto";
import { ConfigError } from "../../errors/errors.ts";
import type { Quality } from "../comparison.ts";
import type { Database } from "../database.ts";

/** A model and how it is sampled: answers of two of them are compared. */
export interface Variant {
  readonly place: number;
  readonly name: string;
  readonly model: string;
  readonly temperature: number;
}

export interface Batch {
  readonly id: string;
  readonly name: string;
  readonly policyVersion: string;
  readonly quality: Quality;
  readonly split: "train" | "test";
  /** Part of an annotator's items that another has decided before, in [0, 0.5]. */
  readonly overlapShare: number;
  readonly openedAt: Date;
  readonly closedAt: Date | null;
  /** Where its comparisons were imported from; null for a batch that is annotated here. */
  readonly source: string | null;
  /** None where they were imported. */
  readonly variants: readonly Variant[];
}

export type BatchDraft = Pick<Batch, "name" | "policyVersion" | "quality" | "split" | "overlapShare"> & {
  readonly variants: readonly Omit<Variant, "place">[];
};

/** @throws {ConfigError} when the name is taken, or there are not two variants to compare. */
export async function openBatch(database: Database, draft: BatchDraft): Promise<Batch> {
  if (draft.variants.length < 2) {
    throw new ConfigError(`a batch compares two variants, and has ${draft.variants.length}`, {
      mend: "Name two models, or one model at two temperatures.",
    });
  }
  if (draft.name.trim() === "" || draft.name.length > 100) {
    throw new ConfigError("a batch needs a name of 1 to 100 characters", {
      mend: "Name it, such as week-1.",
    });
  }
  const id = randomUUID();
  await database.transaction(async (queries) => {
    const made = await queries.query(
      `insert into batches (id, name, policy_version, quality, split, overlap_share)
       values ($1, $2, $3, $4, $5, $6) on conflict (name) do nothing returning id`,
      [id, draft.name, draft.policyVersion, draft.quality, draft.split, draft.overlapShare],
    );
    if (made.length === 0) {
      throw new ConfigError(`there is a batch "${draft.name}" already`, { mend: "Give it another name." });
    }
    for (const [place, { name, model, temperature }] of draft.variants.entries()) {
      await queries.query(
        "insert into variants (batch_id, place, name, model, temperature) values ($1, $2, $3, $4, $5)",
        [id, place, name, model, temperature],
      );
    }
  });
  return (await listBatches(database)).find((batch) => batch.id === id)!;
}

/** @throws {ConfigError} when it is closed already. */
export async function closeBatch(database: Database, id: string): Promise<void> {
  const closed = await database.query("update batches set closed_at = now() where id = $1 returning id", [
    id,
  ]);
  if (closed.length === 0) throw new ConfigError("there is no such batch", { mend: "Reload the page." });
}

/** In the order they were opened. */
export async function listBatches(database: Database): Promise<Batch[]> {
  const rows = await database.query<Omit<Batch, "variants">>(
    `select id, name, policy_version as "policyVersion", quality, split, overlap_share as "overlapShare",
       opened_at as "openedAt", closed_at as "closedAt", source from batches order by opened_at, name`,
  );
  const variants = await database.query<Variant & { batch: string }>(
    "select batch_id as batch, place, name, model, temperature from variants order by place",
  );
  const batches: Batch[] = [];
  for (const row of rows) {
    const own = variants.filter(({ batch }) => batch === row.id);
    batches.push({ ...row, variants: own.map(variantOf) });
  }
  return batches;
}

// --- internal ---

function variantOf({ place, name, model, temperature }: Variant): Variant {
  return { place, name, model, temperature };
}
