/**
 * Requests that a web page of somebody else's sends through its visitor's browser. They are refused before they cost
 * anything: CORS alone would hide only the answer.
 */

export interface OriginRules {
  /** Origins whose pages may ask, `*` for all. */
  readonly allowed: readonly string[];
  /** Whether only loopback names are taken as the server's own: DNS rebinding gives a foreign page another. */
  readonly wantsLoopbackHost: boolean;
}

/** Why a request is refused; undefined when it is not. */
export function refusalOf(
  header: (name: string) => string | undefined,
  rules: OriginRules,
): string | undefined {
  const host = header("host") ?? "";
  if (rules.wantsLoopbackHost && !isLoopback(hostName(host))) {
    return "This server is for this machine only: ask for localhost.";
  }
  const origin = header("origin");
  if (origin === undefined || isAllowed(origin, rules)) return undefined;
  // Behind a proxy that ends TLS the scheme may differ; the name may not.
  const isOwn = URL.canParse(origin) && new URL(origin).host === host;
  return isOwn ? undefined : "Pages of this origin may not ask this server; --cors-origin allows one.";
}

export function isAllowed(origin: string, { allowed }: OriginRules): boolean {
  return allowed.includes("*") || allowed.includes(origin);
}

export function isLoopback(name: string): boolean {
  return name === "localhost" || name === "::1" || name === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(name);
}

// --- internal ---

function hostName(host: string): string {
  return host.replace(/:\d+$/, "");
}
