/**
 * Records comparisons in the store at argv[2], one after another, and writes the id of each to stdout when it was
 * acknowledged. Killed by the test that starts it.
 */

import { randomUUID } from "node:crypto";
import { writeSync } from "node:fs";
import { createRandom } from "../../src/corpus/random.ts";
import { standInAnnotator } from "../../src/preference/annotation/annotators.ts";
import { listBatches, openBatch } from "../../src/preference/annotation/batches.ts";
import { recordEvent } from "../../src/preference/annotation/events.ts";
import { openStore } from "../../src/preference/annotation/store.ts";
import { ask, nextTask, saveAnswers } from "../../src/preference/annotation/tasks.ts";

const database = await openStore({ folder: process.argv[2]! });
const { id: annotatorId } = await standInAnnotator(database, { name: "writer", kind: "script" });
const variants = [1, 2].map((temperature) => ({ name: `t${temperature}`, model: "m", temperature }));
const batch =
  (await listBatches(database))[0] ??
  (await openBatch(database, {
    name: "b",
    policyVersion: "v1",
    quality: "helpfulness",
    split: "train",
    overlapShare: 0,
    variants,
  }));
const random = createRandom(Number(process.argv[3]));
for (;;) {
  const task = await nextTask(database, { batch, annotatorId, random });
  if (task.question === null) await ask(database, task, { text: "q" });
  if (task.left === null) await saveAnswers(database, task, { left: "a".repeat(20_000), right: "b" });
  const id = randomUUID();
  const better = random.int(2) === 0 ? "left" : "right";
  await recordEvent(database, annotatorId, {
    id,
    taskId: task.id,
    kind: "compare",
    better,
    strength: "slightly",
    safety: "both-safe",
  });
  writeSync(1, `${id} ${better}\n`);
}
