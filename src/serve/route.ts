/**
 * A route as data: what it takes and gives is checked, documented in the OpenAPI document and handled from one
 * description. Whoever adds endpoints writes a {@link RouteModule} and gives it to `createApp`.
 */

import type { Context } from "hono";
import type { z } from "zod";
import type { Engine } from "./engine.ts";
import type { Metrics } from "./metrics.ts";
import type { ServerLimits } from "./limits.ts";

/** What all routes share. */
export interface RouteContext {
  readonly engine: Engine;
  readonly limits: ServerLimits;
  readonly metrics: Metrics;
  /** Whether the server still takes work: not once it is told to stop. */
  readonly isOpen: () => boolean;
}

export type RouteModule = (context: RouteContext) => readonly Route[];

export interface Route {
  readonly method: "get" | "post" | "put" | "delete";
  /** As Hono has it, `/items/:id`. */
  readonly path: string;
  /** One line, for the OpenAPI document. */
  readonly summary: string;
  /** Whether it is answered without an API key. */
  readonly isPublic?: boolean;
  /** Of the request's JSON body, which is refused where it does not fit. */
  readonly body?: z.ZodType;
  /** Of the answer's JSON body. */
  readonly answer?: z.ZodType;
  /** @param body what the schema makes of the request's body; undefined without a schema. */
  handle(call: RouteCall): Response | Promise<Response>;
}

export interface RouteCall {
  readonly c: Context<ServeEnvironment>;
  readonly body: unknown;
  /** Aborted when the client leaves or its time is over. */
  readonly signal: AbortSignal;
  /** Answers with server-sent events, each a JSON value. */
  readonly stream: (events: AsyncIterator<unknown>) => Response;
  /** Who asks, as far as is known: a name for an API key, never the key. */
  readonly client: string;
  readonly note: RequestNote;
}

/** What the log says of a request beside its path and status; routes fill it in. */
export interface RequestNote {
  model?: string;
  promptTokens?: number;
  cachedTokens?: number;
  completionTokens?: number;
  firstTokenMs?: number;
  /** Why a stream ended that had begun well. */
  problem?: string;
}

export interface ServeEnvironment {
  readonly Variables: { client: string; requestId: string };
}

/** A route whose handler knows the type of its body. */
export function defineRoute<S extends z.ZodType>(
  route: Omit<Route, "body" | "handle"> & {
    readonly body: S;
    handle(call: Omit<RouteCall, "body"> & { readonly body: z.output<S> }): Response | Promise<Response>;
  },
): Route {
  return route;
}
