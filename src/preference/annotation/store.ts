/** The annotation store: a database with the newest schema. */

import { openEmbedded, openServer, type Database } from "../database.ts";
import { migrate } from "../migrations.ts";

/**
 * Opens the embedded database in a folder, or, where a URL is given, a server's. The caller disposes it.
 *
 * @throws {ConfigError} when another process has the folder open, or the server does not answer.
 */
export async function openStore({ folder, url }: { folder: string; url?: string }): Promise<Database> {
  const database = url === undefined || url === "" ? await openEmbedded(folder) : await openServer(url);
  try {
    await migrate(database);
    return database;
  } catch (error) {
    await database[Symbol.asyncDispose]();
    throw error;
  }
}
