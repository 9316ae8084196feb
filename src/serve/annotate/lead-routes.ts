/** What only a lead may: see everybody's work, open and close batches, invite, and export. */

import { z } from "zod";
import { invite } from "../../preference/annotation/annotators.ts";
import { closeBatch, listBatches, openBatch } from "../../preference/annotation/batches.ts";
import { exportComparisons } from "../../preference/annotation/export.ts";
import { batchProgress } from "../../preference/annotation/progress.ts";
import { annotatedBatches } from "../../preference/annotation/tasks.ts";
import { trlRow } from "../../preference/write.ts";
import { RequestError } from "../problem.ts";
import type { Route } from "../route.ts";
import type { AnnotationOptions } from "./annotation.ts";
import { signedIn, type SignedInRoute } from "./session.ts";

export function leadRoutes(options: AnnotationOptions): Route[] {
  return [...batchRoutes(options), ...invitationRoutes(options), ...exportRoutes(options)];
}

// --- internal ---

/** Who annotates an open batch is not to know what is compared in it, nor what is winning. */
const blind = { isBlind: true, variants: [], winRates: [] } as const;
const seen = { isBlind: false } as const;

const NewBatch = z.strictObject({
  name: z.string().min(1).max(100),
  policyVersion: z.string().min(1).max(100),
  quality: z.enum(["helpfulness", "safety"]),
  split: z.enum(["train", "test"]),
  overlapShare: z.number().min(0).max(0.5),
});

const Invitation = z.strictObject({ name: z.string().max(60), role: z.enum(["annotator", "lead"]) });

function forLeads(options: AnnotationOptions) {
  const route = signedIn(options);
  return <S extends z.ZodType>({ handle, ...rest }: SignedInRoute<S>): Route =>
    route<S>({
      ...rest,
      handle(call) {
        if (call.annotator.role === "lead") return handle(call);
        const message = "This is for the lead.";
        throw new RequestError({ status: 403, message, type: "permission_error", code: "not_lead" });
      },
    });
}

function batchRoutes(options: AnnotationOptions): Route[] {
  const { database, variants } = options;
  const route = forLeads(options);
  return [
    route({
      method: "get",
      path: "/lead/batches",
      summary: "All batches and how far they are",
      async handle({ c, annotator }) {
        const batches = await listBatches(database);
        const own = await annotatedBatches(database, annotator.id);
        const views = batches.map(async (batch) => {
          const isBlind = batch.closedAt === null && own.has(batch.id);
          return Object.assign(batch, await batchProgress(database, batch), isBlind ? blind : seen);
        });
        return c.json({ variants, batches: await Promise.all(views) });
      },
    }),
    route({
      method: "post",
      path: "/lead/batches",
      summary: "Opens a batch",
      body: NewBatch,
      async handle({ c, body }) {
        const { id } = await openBatch(database, { ...body, variants });
        return c.json({ id });
      },
    }),
    route({
      method: "post",
      path: "/lead/batches/:batch/close",
      summary: "Closes a batch for good",
      async handle({ c }) {
        await closeBatch(database, c.req.param("batch") ?? "");
        return c.json({});
      },
    }),
  ];
}

function invitationRoutes(options: AnnotationOptions): Route[] {
  const route = forLeads(options);
  return [
    route({
      method: "post",
      path: "/lead/invitations",
      summary: "Invites somebody",
      body: Invitation,
      async handle({ c, body: { name, role } }) {
        return c.json({ token: await invite(options.database, name, role) });
      },
    }),
  ];
}

function exportRoutes(options: AnnotationOptions): Route[] {
  const route = forLeads(options);
  return [
    route({
      method: "get",
      path: "/lead/export",
      summary: "Comparisons in TRL's format, a line each",
      async handle({ c }) {
        const batch = c.req.query("batch");
        const { comparisons } = await exportComparisons(
          options.database,
          batch === undefined ? {} : { batches: [batch] },
        );
        const lines = comparisons.map((comparison) => `${JSON.stringify(trlRow(comparison))}\n`);
        return c.body(lines.join(""), 200, {
          "content-type": "application/jsonl; charset=utf-8",
          "content-disposition": 'attachment; filename="preferences.jsonl"',
        });
      },
    }),
  ];
}
