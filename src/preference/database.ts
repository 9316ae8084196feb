/**
 * Postgres, and the only door to it: embedded (PGlite, Postgres itself in this process) in a folder, or a server by its
 * URL. The same SQL runs in both.
 *
 * PGlite turns synchronisation with the disk off and its file system has none. Here both are on: a commit has reached
 * the disk when its query returns, so it outlives the process and the machine.
 */

import { closeSync, existsSync, fdatasyncSync, fsyncSync, openSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { PGlite, type Transaction } from "@electric-sql/pglite";
import { NodeFS } from "@electric-sql/pglite/nodefs";
import { Pool, type PoolClient } from "pg";
import { ConfigError, CriaError } from "../errors/errors.ts";
import { lockFolder } from "../formats/folder-lock.ts";
import { makeDirectory } from "../formats/make-directory.ts";

/** What runs SQL: a database, or one transaction of it. */
export interface Queries {
  /** @param parameters of `$1`, `$2`, …; objects for jsonb are given as JSON text. */
  query<Row>(sql: string, parameters?: readonly unknown[]): Promise<Row[]>;
}

export interface Database extends Queries, AsyncDisposable {
  /** Commits when `work` returns and rolls back when it throws. `work` runs its queries on what it is given. */
  transaction<T>(work: (queries: Queries) => Promise<T>): Promise<T>;
  /** For messages, without a password. */
  readonly name: string;
}

/** What the schema's own rules raise, such as a change of a closed batch. */
export const ruleError = "CR001";

/** A text as Postgres can keep it: in UTF-8, and without the character of code 0. */
export function storable(text: string): string {
  return text.replaceAll(/[\0\p{Cs}]/gu, "\uFFFD");
}

/**
 * Opens the database in a folder, which is made where there is none; one process at a time. The caller disposes it.
 *
 * @throws {ConfigError} when another process has it open.
 */
export async function openEmbedded(folder: string): Promise<Database> {
  makeDirectory(folder);
  const unlock = lockFolder(folder, { activity: "annotating", mend: "choose another --store" });
  try {
    return await openPglite(folder, unlock);
  } catch (error) {
    unlock();
    throw error;
  }
}

/** Whether a folder has a database. */
export function isEmbedded(folder: string): boolean {
  return existsSync(join(folder, "postgres", "PG_VERSION"));
}

/**
 * @param url such as `postgres://user:password@host/database`.
 * @throws {ConfigError} when the server does not answer.
 */
export async function openServer(url: string): Promise<Database> {
  const pool = new Pool({ connectionString: url, connectionTimeoutMillis: 10_000 });
  // A connection that dies while idle is replaced; unheard, the event would end the process.
  pool.on("error", () => {});
  const name = url.replace(/\/\/[^@/]*@/, "//");
  try {
    await pool.query("select 1");
  } catch (cause) {
    await pool.end();
    throw new ConfigError(`the database at ${name} does not answer: ${(cause as Error).message}`, {
      mend: "Check DATABASE_URL, or unset it to use the embedded database.",
      cause,
    });
  }
  return {
    name,
    query: (sql, parameters = []) => ruled(rowsOf(pool.query(sql, [...parameters]))),
    transaction: async (work) => {
      const client = await pool.connect();
      try {
        const result = await inTransaction(client, work);
        client.release();
        return result;
      } catch (error) {
        // Whether it can still be used is not known.
        client.release(!(error instanceof CriaError));
        throw error;
      }
    },
    [Symbol.asyncDispose]: () => pool.end(),
  };
}

// --- internal ---

async function openPglite(folder: string, unlock: () => void): Promise<Database> {
  const path = join(folder, "postgres");
  const isNew = !isEmbedded(folder);
  const fs = new NodeFS(path);
  const init = fs.init.bind(fs);
  fs.init = async (pg, options) => {
    const { emscriptenOpts } = await init(pg, options);
    const preRun = [...(emscriptenOpts.preRun ?? []), synchronise];
    return { emscriptenOpts: { ...emscriptenOpts, preRun } };
  };
  const startParams = [
    ...PGlite.defaultStartParams.filter((parameter) => parameter !== "-F"),
    // The one that PGlite's system calls hand on.
    "-c",
    "wal_sync_method=fsync",
  ];
  const database = await PGlite.create({ fs, startParams });
  if (isNew) synchroniseFolder(path);
  return {
    name: folder,
    ...queriesOf(database),
    transaction: (work) => database.transaction((transaction) => work(queriesOf(transaction))),
    [Symbol.asyncDispose]: async () => {
      await database.close();
      unlock();
    },
  };
}

function queriesOf(source: Pick<Transaction, "query">): Queries {
  return {
    query: async <Row>(sql: string, parameters: readonly unknown[] = []) =>
      ruled(rowsOf<Row>(source.query<Row>(sql, [...parameters]))),
  };
}

/** Emscripten's view of a file that the host has open. */
interface NodeStream {
  readonly nfd: number;
}

function synchronise(module: unknown): void {
  const { NODEFS } = module as { NODEFS: { stream_ops: { fsync?: (stream: NodeStream) => number } } };
  NODEFS.stream_ops.fsync = ({ nfd }) => {
    // Of a directory Emscripten holds no descriptor.
    if (typeof nfd === "number") fdatasyncSync(nfd);
    return 0;
  };
}

/** What initdb wrote before Postgres itself ran. */
function synchroniseFolder(path: string): void {
  for (const entry of readdirSync(path, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile() && !entry.isDirectory()) continue;
    const fd = openSync(join(entry.parentPath, entry.name), "r");
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }
}

async function inTransaction<T>(client: PoolClient, work: (queries: Queries) => Promise<T>): Promise<T> {
  await client.query("begin");
  try {
    const result = await work({
      query: (sql, parameters = []) => ruled(rowsOf(client.query(sql, [...parameters]))),
    });
    await client.query("commit");
    return result;
  } catch (error) {
    await client.query("rollback").catch(() => {});
    throw error;
  }
}

async function rowsOf<Row>(result: Promise<{ readonly rows: unknown[] }>): Promise<Row[]> {
  return (await result).rows as Row[];
}

/** Turns what the schema's rules raise into an error for people: its message, and the hint as the mend. */
async function ruled<T>(query: Promise<T>): Promise<T> {
  try {
    return await query;
  } catch (cause) {
    const { code, message, hint } = cause as { code?: string; message: string; hint?: string };
    if (code !== ruleError) throw cause;
    throw new ConfigError(message, { mend: hint ?? "", cause });
  }
}
