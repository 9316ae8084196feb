/**
 * Imports 2000 comparisons into the store at argv[2], and waits to be killed by the test that starts it: with `middle` at
 * argv[3] when half of them are written, with `end` when all are imported. What it waits for, it writes to stdout.
 */

import { writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { importComparisons } from "../../src/preference/annotation/import.ts";
import { openStore } from "../../src/preference/annotation/store.ts";
import type { Database, Queries } from "../../src/preference/database.ts";

const database = await openStore({ folder: process.argv[2]! });
const isMiddle = process.argv[3] === "middle";
let statements = 0;
const waiting = (queries: Queries): Queries => ({
  async query<Row>(sql: string, parameters?: readonly unknown[]): Promise<Row[]> {
    const rows = await queries.query<Row>(sql, parameters);
    if (sql.includes("insert into imported_comparisons")) statements += 1;
    if (isMiddle && statements === 2) await wait("middle");
    return rows;
  },
});
const watched: Database = {
  ...database,
  transaction: (work) => database.transaction((queries) => work(waiting(queries))),
};
const train = Array.from({ length: 2000 }, (_, i) => ({
  prompt: [{ role: "user" as const, content: `number ${i}` }],
  chosen: `yes ${i}`,
  rejected: `no ${i}`,
  quality: "helpfulness" as const,
  judge: "people (a test)",
}));
await importComparisons(watched, { name: "killed", source: "a test", train, test: [] });
await wait("end");

async function wait(name: string): Promise<void> {
  writeSync(1, `${name}\n`);
  await sleep(600_000);
}
