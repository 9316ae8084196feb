/**
 * The annotation server with answers that are made up, for the tests of its page: argv has the store's folder, the
 * folder of the built pages and the port. It prints a line of JSON with its address and invitations, and is killed.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { createRandom } from "../../src/corpus/random.ts";
import { invite } from "../../src/preference/annotation/annotators.ts";
import { listBatches, openBatch } from "../../src/preference/annotation/batches.ts";
import { openStore } from "../../src/preference/annotation/store.ts";
import { startAnnotationServer } from "../../src/serve/annotate/server.ts";

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

const server = await startAnnotationServer({
  database,
  variants,
  random: createRandom(11),
  host: "127.0.0.1",
  port: Number(port),
  pageFolder,
  async *generate({ variant, prompt }, signal) {
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
  },
});
const invitations = isFirst
  ? {
      lead: await invite(database, "Lea", "lead"),
      ann: await invite(database, "Ann", "annotator"),
      bob: await invite(database, "Bob", "annotator"),
    }
  : {};
process.stdout.write(`${JSON.stringify({ url: server.url, ...invitations })}\n`);
