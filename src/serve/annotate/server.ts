/** The annotation server: its API and its page, and nothing else of `cria serve`, which would tell the variants. */

import { Hono } from "hono";
import { ConfigError } from "../../errors/errors.ts";
import { securityHeaders } from "../security/headers.ts";
import { refusalOf, isLoopback } from "../security/origin.ts";
import { listen, type ListenOptions } from "../server.ts";
import { pageResponse, readStaticFiles } from "../static.ts";
import { createAnnotationApp } from "./app.ts";
import type { AnnotationOptions } from "./http.ts";

export interface AnnotationServer {
  readonly url: string;
  /** Requests that run are cut off after a second: pages send again what they have not heard of. */
  close(): Promise<void>;
}

/**
 * @param pageFolder where the pages were built.
 * @throws {ConfigError} when there are no pages, or the address cannot be listened at.
 */
export async function startAnnotationServer(
  options: AnnotationOptions & ListenOptions & { readonly pageFolder: string },
): Promise<AnnotationServer> {
  const { host, port, pageFolder } = options;
  const files = readStaticFiles(pageFolder);
  if (files === undefined) {
    throw new ConfigError(`there is no page in ${pageFolder}`, { mend: "Build it: npm run build:web." });
  }
  const annotation = createAnnotationApp(options);
  const root = new Hono();
  root.use(async (c, next) => {
    for (const [name, value] of Object.entries(securityHeaders)) c.header(name, value);
    const rules = { allowed: [], wantsLoopbackHost: isLoopback(host) };
    const refusal = refusalOf((name) => c.req.header(name), rules);
    return refusal === undefined ? next() : c.json({ error: refusal }, 403);
  });
  root.route("/", annotation.app);
  for (const [path, file] of files) {
    if (path !== "/") root.get(path, (c) => pageResponse(c, file));
  }
  root.get("/", (c) => c.redirect("/annotate/"));
  const server = await listen(root, { host, port });
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${server.port}`,
    async close() {
      annotation[Symbol.dispose]();
      await server.close(1);
    },
  };
}
