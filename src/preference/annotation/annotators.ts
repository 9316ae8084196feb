/**
 * Who annotates: people who sign in by an invitation's token, of which only the hash is kept, and what stands in for
 * them.
 */

import { createHash, randomBytes, randomUUID } from "node:crypto";
import { ConfigError } from "../../errors/errors.ts";
import type { Database } from "../database.ts";

export interface Annotator {
  readonly id: string;
  readonly name: string;
  /** A lead sees everybody's counts, opens and closes batches and exports; nobody else does. */
  readonly role: "annotator" | "lead";
  /** What stands in for a person is named as that wherever its data appear. */
  readonly kind: "person" | StandIn["kind"];
}

/** What judges in a person's place. */
export interface StandIn {
  readonly name: string;
  readonly kind: "script" | "reward model";
}

/**
 * Invites a person, or, where the name is known, replaces the invitation: the old token no longer signs in.
 *
 * @returns the token, which is told once.
 * @throws {ConfigError} for a name that is none or is a script's.
 */
export async function invite(database: Database, name: string, role: Annotator["role"]): Promise<string> {
  checkName(name);
  const token = randomBytes(24).toString("base64url");
  const rows = await database.query(
    `insert into annotators (id, name, role, kind, token_hash) values ($1, $2, $3, 'person', $4)
     on conflict (name) do update set token_hash = excluded.token_hash where annotators.kind = 'person'
     returning id`,
    [randomUUID(), name, role, hashOf(token)],
  );
  if (rows.length > 0) return token;
  throw new ConfigError(`${name} is the name of a script or a model`, {
    mend: "Invite a person by another name.",
  });
}

/** A stand-in has no token; it is made where there is none. @throws {ConfigError} for a name of another kind. */
export async function standInAnnotator(database: Database, { name, kind }: StandIn): Promise<Annotator> {
  checkName(name);
  await database.query(
    `insert into annotators (id, name, role, kind) values ($1, $2, 'annotator', $3) on conflict do nothing`,
    [randomUUID(), name, kind],
  );
  const [known] = await database.query<Annotator>(
    "select id, name, role, kind from annotators where name = $1",
    [name],
  );
  if (known?.kind === kind) return known;
  throw new ConfigError(`${name} is the name of a ${known?.kind}`, {
    mend: `Give the ${kind} another name.`,
  });
}

export async function annotatorOfToken(database: Database, token: string): Promise<Annotator | undefined> {
  const [annotator] = await database.query<Annotator>(
    "select id, name, role, kind from annotators where token_hash = $1",
    [hashOf(token)],
  );
  return annotator;
}

export function listAnnotators(database: Database): Promise<Annotator[]> {
  return database.query<Annotator>("select id, name, role, kind from annotators order by created_at, name");
}

/** How a comparison of an annotator is labelled. */
export function judgeLabel({ name, kind }: Pick<Annotator, "name" | "kind">): string {
  return `${name} (${kind})`;
}

// --- internal ---

/** The token is 192 random bits, so a fast hash suffices: there is nothing to guess. */
function hashOf(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}

function checkName(name: string): void {
  if (/^[\p{L}\p{N}][\p{L}\p{M}\p{N} ._@-]{0,59}$/u.test(name)) return;
  throw new ConfigError(`${JSON.stringify(name)} cannot be an annotator's name`, {
    mend: "Use up to 60 letters, digits, spaces, dots, dashes and underscores.",
  });
}
