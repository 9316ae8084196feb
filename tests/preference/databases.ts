import { spawn, spawnSync } from "node:child_process";
import {
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openStore } from "../../src/preference/annotation/store.ts";
import { openEmbedded, type Database } from "../../src/preference/database.ts";

/** initdb takes seconds, so it runs once; each test copies what it made. */
const template = fileURLToPath(new URL("../../node_modules/.cache/cria/pglite-0.5.16", import.meta.url));

/** A folder of a test's own that holds an empty embedded database; the caller removes it. */
export async function embeddedFolder(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "cria-annotation-"));
  if (!existsSync(template)) {
    const making = join(folder, "template");
    await (await openEmbedded(making))[Symbol.asyncDispose]();
    mkdirSync(join(template, ".."), { recursive: true });
    try {
      cpSync(making, `${template}.${process.pid}`, { recursive: true });
      renameSync(`${template}.${process.pid}`, template);
    } catch {
      // Another test file was faster.
      rmSync(`${template}.${process.pid}`, { recursive: true, force: true });
    }
    rmSync(making, { recursive: true });
  }
  cpSync(template, join(folder, "store"), { recursive: true });
  return folder;
}

export interface OpenedStore {
  readonly database: Database;
  readonly close: () => Promise<void>;
}

export async function openEmbeddedStore(): Promise<OpenedStore> {
  const folder = await embeddedFolder();
  const database = await openStore({ folder: join(folder, "store") });
  const close = async (): Promise<void> => {
    await database[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  };
  return { database, close };
}

/** The folder of Postgres' programs, or why there is no server to test with. */
export function postgresPrograms(): { readonly bin: string } | { readonly missing: string } {
  const debian = "/usr/lib/postgresql";
  const versions = existsSync(debian) ? readdirSync(debian) : [];
  const bins = [
    ...versions.map((version) => join(debian, version, "bin")),
    ...(process.env["PATH"] ?? "").split(":"),
  ];
  const bin = bins.find(
    (folder) => existsSync(join(folder, "initdb")) && existsSync(join(folder, "postgres")),
  );
  if (bin === undefined) return { missing: "no PostgreSQL programs here" };
  if (process.getuid?.() === 0 && postgresUser() === undefined) {
    return { missing: "PostgreSQL does not run as root, and there is no user postgres" };
  }
  return { bin };
}

/** A store in a server of the test's own. */
export async function openServerStore(): Promise<OpenedStore> {
  const programs = postgresPrograms();
  if ("missing" in programs) throw new Error(programs.missing);
  const { url, stop } = await startPostgres(programs.bin);
  const database = await openStore({ folder: "unused", url });
  return {
    database,
    close: async () => {
      await database[Symbol.asyncDispose]();
      await stop();
    },
  };
}

/** A server of the test's own, on a socket in a folder of its own. */
async function startPostgres(bin: string): Promise<{ url: string; stop: () => Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), "cria-pg-"));
  const user = process.getuid?.() === 0 ? postgresUser()! : undefined;
  if (user !== undefined) chownSync(folder, user.uid, user.gid);
  const options = { cwd: folder, ...user };
  const made = spawnSync(
    join(bin, "initdb"),
    ["-D", join(folder, "data"), "-A", "trust", "-U", "postgres"],
    options,
  );
  if (made.status !== 0) throw new Error(String(made.stderr));
  const server = spawn(
    join(bin, "postgres"),
    ["-D", join(folder, "data"), "-c", "listen_addresses=", "-c", `unix_socket_directories=${folder}`],
    options,
  );
  const ended = new Promise((done) => server.once("exit", done));
  await new Promise<void>((ready, fail) => {
    let said = "";
    server.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      if (said.includes("ready to accept connections")) ready();
    });
    server.once("exit", () => fail(new Error(said)));
  });
  return {
    url: `postgres://postgres@localhost/postgres?host=${encodeURIComponent(folder)}`,
    stop: async () => {
      server.kill("SIGINT");
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function postgresUser(): { uid: number; gid: number } | undefined {
  const id = (flag: string): number =>
    Number.parseInt(String(spawnSync("id", [flag, "postgres"]).stdout), 10);
  const [uid, gid] = [id("-u"), id("-g")];
  return Number.isNaN(uid) || Number.isNaN(gid) ? undefined : { uid, gid };
}
