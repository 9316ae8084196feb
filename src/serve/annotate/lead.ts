/** What only a lead may: see everybody's work, open and close batches, invite, and export. */

import type { Hono } from "hono";
import { z } from "zod";
import { invite } from "../../preference/annotation/annotators.ts";
import { closeBatch, listBatches, openBatch } from "../../preference/annotation/batches.ts";
import { exportComparisons } from "../../preference/annotation/export.ts";
import { batchProgress } from "../../preference/annotation/progress.ts";
import { trlRow } from "../../preference/write.ts";
import { bodyOf, type AnnotationEnvironment, type AnnotationOptions } from "./http.ts";

const NewBatch = z.strictObject({
  name: z.string().min(1).max(100),
  policyVersion: z.string().min(1).max(100),
  quality: z.enum(["helpfulness", "safety"]),
  split: z.enum(["train", "test"]),
  overlapShare: z.number().min(0).max(0.5),
});

const Invitation = z.strictObject({ name: z.string().max(60), role: z.enum(["annotator", "lead"]) });

export function leadRoutes(
  app: Hono<AnnotationEnvironment>,
  { database, variants }: AnnotationOptions,
): void {
  app.use("/lead/*", async (c, next) => {
    if (c.get("annotator").role !== "lead") return c.json({ error: "This is for the lead." }, 403);
    return next();
  });
  app.get("/lead/batches", async (c) => {
    const batches = await listBatches(database);
    const progress = await Promise.all(batches.map((batch) => batchProgress(database, batch)));
    return c.json({ variants, batches: batches.map((batch, i) => Object.assign(batch, progress[i])) });
  });
  app.post("/lead/batches", async (c) => {
    const draft = await bodyOf(c, NewBatch);
    const { id } = await openBatch(database, { ...draft, variants });
    return c.json({ id });
  });
  app.post("/lead/batches/:batch/close", async (c) => {
    await closeBatch(database, c.req.param("batch"));
    return c.json({});
  });
  app.post("/lead/invitations", async (c) => {
    const { name, role } = await bodyOf(c, Invitation);
    return c.json({ token: await invite(database, name, role) });
  });
  app.get("/lead/export", async (c) => {
    const batch = c.req.query("batch");
    const { comparisons } = await exportComparisons(
      database,
      batch === undefined ? {} : { batches: [batch] },
    );
    const lines = comparisons.map((comparison) => `${JSON.stringify(trlRow(comparison))}\n`);
    return c.body(lines.join(""), 200, {
      "content-type": "application/jsonl; charset=utf-8",
      "content-disposition": 'attachment; filename="preferences.jsonl"',
    });
  });
}
