/** `cria annotate`: people, or a script in their place, compare the answers of two variants. */

import { randomBytes, randomInt } from "node:crypto";
import { freemem } from "node:os";
import { createRandom } from "../../corpus/random.ts";
import type { Dialog } from "../../dialog/message.ts";
import { readPrompts, type Prompt } from "../../dialog/prompts.ts";
import { ConfigError } from "../../errors/errors.ts";
import { judgeLabel, standInAnnotator } from "../../preference/annotation/annotators.ts";
import { listBatches, openBatch, type Batch, type Variant } from "../../preference/annotation/batches.ts";
import { annotateByScript } from "../../preference/annotation/script.ts";
import type { Database } from "../../preference/database.ts";
import { engineAnswers } from "../../serve/annotate/engine-answers.ts";
import { poolModels, type ServerOptions } from "../../serve/start.ts";
import { ModelPool } from "../../serve/worker/model-pool.ts";
import { checkAnnotatorJudge, openAnnotatorJudge } from "../annotation-judge.ts";
import { openNamedStore, storeArguments, variantsOf } from "../annotation-options.ts";
import { answerTokens, openAnnotation, printInvitations } from "../annotation-part.ts";
import { defineCommand, type ArgumentValues, type CommandContext } from "../command.ts";
import { loadOptionsOf, modelArguments } from "../model-options.ts";
import { Progress } from "../progress.ts";
import { checkPrompts } from "../stages/checks.ts";
import { apiKeysOf, serverArguments, serveUntilStopped, surfaceOf } from "../server-options.ts";

const { model: _, ...sharedArguments } = modelArguments;

const annotateArguments = {
  variants: {
    type: "positional",
    required: true,
    multiple: true,
    valueHint: "MODEL",
    description: "What is compared, as PATH@TEMPERATURE: two models, or one at two temperatures",
  },
  ...storeArguments,
  batch: {
    type: "string",
    valueHint: "NAME",
    description: "The batch to go on with, or to open; by default named after what follows",
  },
  policy: {
    type: "string",
    default: "v1",
    valueHint: "NAME",
    description: "The version that is compared, of a new batch",
  },
  quality: {
    type: "string",
    choices: ["helpfulness", "safety"],
    default: "helpfulness",
    description: "By which guidelines, of a new batch",
  },
  split: {
    type: "string",
    choices: ["train", "test"],
    default: "train",
    description: "What for, of a new batch",
  },
  overlap: {
    type: "string",
    as: "number",
    min: 0,
    default: "0.1",
    valueHint: "SHARE",
    description: "Items that a second annotator repeats, of a new batch",
  },
  invite: {
    type: "string",
    multiple: true,
    valueHint: "NAME",
    description: "Print a link to sign in by; an older one of this name ends",
  },
  lead: { type: "string", valueHint: "NAME", description: "The same for a lead, who sees all and exports" },
  judge: {
    type: "string",
    valueHint: "PATH",
    description:
      "A .js module or a reward model's folder that judges in people's place, and is named in its data",
  },
  "safety-judge": {
    type: "string",
    valueHint: "DIR",
    description: "A safety model beside a helpfulness model as the judge",
  },
  prompts: { type: "string", valueHint: "FILE", description: "What the judge's answers are to" },
  tokens: {
    type: "string",
    as: "integer",
    min: 1,
    alias: "n",
    default: String(answerTokens),
    valueHint: "N",
    description: "Longest answer, in tokens",
  },
  port: {
    type: "string",
    as: "integer",
    min: 0,
    default: "8090",
    valueHint: "N",
    description: "0 for any free one",
  },
  ...serverArguments,
  drain: { ...serverArguments.drain, default: "1" },
  ...sharedArguments,
} as const;

type AnnotateArguments = ArgumentValues<typeof annotateArguments>;

export const annotate = defineCommand({
  details:
    "Serves a page where annotators, each by an invitation's link, write prompts and compare two streamed answers; and a " +
    "lead's page. What is answered by which variant, annotators never see: the rest of `cria serve`, which could tell, " +
    "wants an API key, made at each start where none is given. With --judge, the answers to --prompts are judged " +
    "instead, and the data say by whom: by a module's default export, (prompt, a, b) => ({better, strength, safety}), or by " +
    "reward models, which rate by σ of the scores' difference: significantly better from 0.741, better from 0.642, " +
    "slightly from 0.578. `cria preferences export` writes what was collected.",
  args: annotateArguments,
  examples: [
    "cria annotate runs/v2/model@0.7 runs/v1/model@1 --lead Lea --invite Ann --invite Bob",
    "cria annotate model.gguf@0.5 model.gguf@1 --judge judge.js --prompts prompts.jsonl",
    "cria annotate runs/v2/model runs/v1/model --judge runs/helpful/model --safety-judge runs/safe/model --prompts p.jsonl",
  ],
  async run(args, context) {
    const apiKeys = apiKeysOf(args);
    // Before the store: a batch of what cannot be compared would stay in it.
    const prompts = await judgePrompts(args);
    const variants = variantsOf(args.variants);
    for (const { model } of variants) checkPrompts(model, prompts);
    if (args.overlap > 0.5) {
      throw new ConfigError(`--overlap ${args.overlap} is more than half of the items`, {
        mend: "Give a share from 0 to 0.5.",
      });
    }
    await using database = await openNamedStore(args.store);
    const batch = await namedBatch(database, args, variants);
    const work = { args, database, batch, variants };
    if (args.judge === undefined) await annotateByPeople(work, apiKeys, context);
    else await judgeAll(args.judge, { ...work, prompts: prompts.map(({ dialog }) => dialog) }, context);
  },
});

// --- internal ---

interface Work {
  readonly args: AnnotateArguments;
  readonly database: Database;
  readonly batch: Batch;
  readonly variants: readonly Omit<Variant, "place">[];
}

/** None where people annotate. @throws {ConfigError} where a judge has no prompts, or prompts no judge. */
async function judgePrompts({
  judge,
  prompts,
  "safety-judge": safety,
}: AnnotateArguments): Promise<Prompt[]> {
  if (judge === undefined) {
    const lone = prompts === undefined ? safety && "--safety-judge" : "--prompts";
    if (lone === undefined) return [];
    throw new ConfigError(`${lone} is for a judge, and there is none`, { mend: "Give --judge PATH too." });
  }
  if (prompts === undefined) {
    throw new ConfigError("--judge needs prompts to be answered", { mend: "Give --prompts FILE." });
  }
  await checkAnnotatorJudge({ judge, safety });
  return readPrompts(prompts);
}

/** @throws {ConfigError} when the batch of this name is closed or compares other variants. */
async function namedBatch(
  database: Database,
  args: AnnotateArguments,
  variants: Work["variants"],
): Promise<Batch> {
  const { policy, quality, split, overlap } = args;
  const name = args.batch ?? `${policy} ${quality} ${split}`;
  const known = (await listBatches(database)).find((batch) => batch.name === name);
  if (known === undefined) {
    return openBatch(database, {
      name,
      policyVersion: policy,
      quality: quality === "safety" ? "safety" : "helpfulness",
      split: split === "test" ? "test" : "train",
      overlapShare: overlap,
      variants,
    });
  }
  const isSame =
    known.variants.length === variants.length &&
    known.variants.every((one, i) => isSameVariant(one, variants[i]!));
  if (known.closedAt === null && isSame) return known;
  const why =
    known.closedAt === null
      ? `compares ${known.variants.map((variant) => variant.name).join(" and ")}`
      : "is closed";
  throw new ConfigError(`the batch "${name}" ${why}`, { mend: "Open another one, by --batch NAME." });
}

/** Temperatures are kept in single precision. */
function isSameVariant(a: Omit<Variant, "place">, b: Omit<Variant, "place">): boolean {
  return a.model === b.model && Math.abs(a.temperature - b.temperature) < 1e-6;
}

/** Each model once, named by its path. */
function servedModels({ args, variants }: Work): Pick<ServerOptions, "models" | "model"> {
  return {
    models: [...new Set(variants.map(({ model }) => model))].map((path) => ({ path, id: path })),
    model: { ...loadOptionsOf(args), parallel: 8, queue: 64 },
  };
}

async function annotateByPeople(
  work: Work,
  apiKeys: readonly string[],
  context: CommandContext,
): Promise<void> {
  const { args, database, batch, variants } = work;
  const keys = apiKeys.length > 0 ? apiKeys : [randomBytes(24).toString("base64url")];
  const served = servedModels(work);
  const options = {
    ...served,
    host: args.host,
    port: args.port,
    apiKeys: keys,
    ...surfaceOf(args.log, context),
  };
  await using annotation = openAnnotation({
    database,
    variants,
    models: served.models,
    maxTokens: args.tokens,
    report: options.report,
  });
  await serveUntilStopped({ ...options, annotation: annotation.routes }, args.drain, {
    signal: context.signal,
    async ready(url) {
      await printInvitations(url, { database, lead: args.lead, people: args.invite }, context.stdout);
      if (apiKeys.length === 0) context.stdout.write(`API key, for the lead alone: ${keys[0]}\n`);
      context.stderr.write(`Batch "${batch.name}" is open at ${url}/annotate/\n`);
    },
  });
}

async function judgeAll(
  path: string,
  work: Work & { readonly prompts: readonly Dialog[] },
  { signal, stdout, stderr }: CommandContext,
): Promise<void> {
  const { args, database, batch, prompts } = work;
  const { device, threads } = args;
  const options = threads === undefined ? { device } : { device, threads };
  using judge = await openAnnotatorJudge(
    { judge: path, safety: args["safety-judge"] },
    batch.quality,
    options,
  );
  const annotator = await standInAnnotator(database, judge);
  const memoryBytes = 0.9 * freemem();
  const pool = new ModelPool(poolModels(servedModels(work), memoryBytes), {
    memoryBytes,
    died: (model, reason) => void stderr.write(`the process of ${model} ended (${reason})\n`),
  });
  try {
    using progress = new Progress({
      label: "Judging",
      total: prompts.length,
      unit: "prompts",
      stream: stderr,
    });
    const generate = engineAnswers({ idOf: (model) => model, maxTokens: args.tokens })(pool);
    const random = createRandom(randomInt(2 ** 31));
    const annotation = { database, batch, annotator, judge: judge.judge, generate, random };
    for await (const done of annotateByScript(prompts, annotation, signal)) progress.update({ done });
    progress.end();
  } finally {
    await pool.close();
  }
  stdout.write(`${prompts.length} prompts judged by ${judgeLabel(annotator)} in "${batch.name}"\n`);
}
