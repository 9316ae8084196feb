/** The server with its port: it listens, and when told to stop it ends what it has begun. */

import type { Server } from "node:http";
import { serve } from "@hono/node-server";
import type { Hono } from "hono";
import { ConfigError } from "../errors/errors.ts";

export interface ListenOptions {
  readonly host: string;
  /** 0 for any that is free. */
  readonly port: number;
}

export interface RunningServer {
  readonly host: string;
  readonly port: number;
  /** No new connections; settles when all requests are answered, or cut off after so many seconds. */
  close(seconds: number): Promise<void>;
}

/** @throws {ConfigError} when the port is taken or the address is not this machine's. */
export async function listen(
  app: Pick<Hono, "fetch">,
  { host, port }: ListenOptions,
): Promise<RunningServer> {
  const server = serve({ fetch: app.fetch, hostname: host, port }) as Server;
  // A client that sends its headers or its body a byte at a time holds a connection only so long.
  server.headersTimeout = 20_000;
  server.requestTimeout = 60_000;
  server.keepAliveTimeout = 65_000;
  server.maxConnections = 4096;
  await new Promise<void>((ready, fail) => {
    server.once("listening", ready);
    server.once("error", (error: NodeJS.ErrnoException) => fail(listenError(error, host, port)));
  });
  const address = server.address();
  return {
    host,
    port: typeof address === "object" && address !== null ? address.port : port,
    async close(seconds) {
      const closed = new Promise<void>((done) => server.close(() => done()));
      server.closeIdleConnections();
      const timer = setTimeout(() => server.closeAllConnections(), 1000 * seconds);
      // Connections become idle one by one.
      const idle = setInterval(() => server.closeIdleConnections(), 100);
      await closed;
      clearTimeout(timer);
      clearInterval(idle);
    },
  };
}

// --- internal ---

function listenError(error: NodeJS.ErrnoException, host: string, port: number): ConfigError {
  const { code, message } = error;
  if (code === "EADDRINUSE") {
    const mend = "Give another --port, or 0 for any.";
    return new ConfigError(`port ${port} of ${host} is taken`, { mend, cause: error });
  }
  if (code === "EACCES") {
    const mend = "Ports below 1024 are the system's.";
    return new ConfigError(`port ${port} may not be opened`, { mend, cause: error });
  }
  return new ConfigError(`${host}:${port} cannot be listened at: ${message}`, { cause: error });
}
