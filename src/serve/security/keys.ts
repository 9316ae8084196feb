/** API keys: who has one, compared in a time that does not tell how much of it was right. */

import { createHash, timingSafeEqual } from "node:crypto";
import { ConfigError } from "../../errors/errors.ts";

export interface ApiKeys {
  /** Whether no key is asked for. */
  readonly isOpen: boolean;
  /** The name of the client that holds a key, which says nothing of the key; undefined for one that nobody has. */
  clientOf(key: string): string | undefined;
}

/** @throws {ConfigError} for a key that is too short to be one. */
export function createApiKeys(keys: readonly string[]): ApiKeys {
  for (const [i, key] of keys.entries()) {
    if (key.length >= shortestKey && !/\s/.test(key)) continue;
    throw new ConfigError(`API key ${i + 1} has ${key.length} characters or white space within`, {
      mend: `A key has at least ${shortestKey} characters, none of them white space: \`openssl rand -hex 32\` makes one.`,
    });
  }
  const digests = keys.map(digest);
  return {
    isOpen: keys.length === 0,
    clientOf(key) {
      const given = digest(key);
      let client: string | undefined;
      // All of them, whether one has been found or not.
      for (const [i, known] of digests.entries()) if (timingSafeEqual(known, given)) client = `key-${i + 1}`;
      return client;
    },
  };
}

/**
 * The key of a request: `Authorization: Bearer`, as OpenAI has it, `api-key`, as Azure has it, or the password of
 * `Basic`, which browsers ask for.
 */
export function keyOf(header: (name: string) => string | undefined): string | undefined {
  const [, scheme = "", sent = ""] = /^(Bearer|Basic) +(\S+)$/i.exec(header("authorization") ?? "") ?? [];
  if (scheme.toLowerCase() === "bearer") return sent;
  return header("api-key") ?? header("x-api-key") ?? (scheme === "" ? undefined : passwordOf(sent));
}

// --- internal ---

const shortestKey = 16;

/** RFC 7617: the user's name, which may be anything here, a colon, and the password. */
function passwordOf(credentials: string): string {
  const text = Buffer.from(credentials, "base64").toString();
  return text.slice(text.indexOf(":") + 1);
}

/** Of one length, so that comparing takes one time. */
function digest(key: string): Buffer {
  return createHash("sha256").update(key).digest();
}
