/**
 * The annotation server with answers that are made up, for the tests of its page: argv has the store's folder, the
 * folder of the built pages and the port. It prints a line of JSON with its address and invitations, and is killed.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { createRandom } from "../../src/corpus/random.ts";
import { invite } from "../../src/preference/annotation/annotators.ts";
import { listBatches, openBatch } from "../../src/preference/annotation/batches.ts";
import { openStore } from "../../src/preference/annotation/store.ts";
import type { AnswerGenerator } from "../../src/preference/annotation/answers.ts";
import { createAnnotation } from "../../src/serve/annotate/annotation.ts";
import { createApp } from "../../src/serve/app.ts";
import { listen } from "../../src/serve/server.ts";
import { readStaticFiles } from "../../src/serve/static.ts";
import { noEngine } from "../serve/no-engine.ts";

const [store, pageFolder, port] = process.argv.slice(2) as [string, string, string];
const database = await openStore({ folder: store });
const variants = [
  { name: "v2@0.7", model: "v2", temperature: 0.7 },
  { name: "v1@1", model: "v1", temperature: 1 },
];
const isFirst = (await listBatches(database)).length === 0;
for (const quality of isFirst ? (["helpfulness", "safety"] as const) : []) {
  const batch = { policyVersion: "v2", quality, split: "train", overlapShare: 0.5 } as const;
  await openBatch(database, { ...batch, name: `week 1, ${quality}`, variants });
}
const hostile =
  '<script>window.hacked = 1</script><img src="x" onerror="window.hacked = 1">\n\u202Edesrever si siht\n' +
  "]]> &lt;b&gt; {{7*7}} \n\0\u0007";

const generate: AnswerGenerator = async function* ({ variant, prompt }, signal) {
  const { content } = prompt.at(-1)!;
  if (content.includes("hostile")) {
    yield `${variant.model}: ${hostile}`;
    yield "x".repeat(1_000_000);
    return;
  }
  const text = `${variant.model} says: a cria is a young llama, alpaca, vicuña or guanaco. ${
    variant.model === "v2"
      ? "The word is Spanish, from criar, to raise; a cria stands up within an hour or two of its birth and weighs about as much as a human child."
      : "They are born in the morning."
  } You asked: ${content}`;
  for (const word of text.split(/(?<= )/)) {
    if (content.includes("slow")) await sleep(30, undefined, { signal });
    yield word;
  }
};
const annotation = createAnnotation({
  database,
  variants,
  random: createRandom(11),
  answersOf: () => generate,
  report: (reason) => process.stderr.write(`${reason}\n`),
});
const app = createApp({
  engine: noEngine,
  apiKeys: ["only-the-lead-has-it"],
  annotation: annotation.routes,
  page: readStaticFiles(pageFolder)!,
});
const server = await listen(app, { host: "127.0.0.1", port: Number(port) });
const invitations = isFirst
  ? {
      lead: await invite(database, "Lea", "lead"),
      ann: await invite(database, "Ann", "annotator"),
      bob: await invite(database, "Bob", "annotator"),
    }
  : {};
process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${server.port}`, ...invitations })}\n`);
