/**
 * The server without its port: routes, and before each of them the same checks in the same order: where the request
 * comes from, who sends it, how long it may take, and whether its body is as the route wants it.
 */

import { randomUUID } from "node:crypto";
import { Hono, type Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { checkBlindness } from "./annotate/annotation.ts";
import { readBody } from "./body.ts";
import type { Engine } from "./engine.ts";
import { defaultLimits, type ServerLimits } from "./limits.ts";
import { Metrics } from "./metrics.ts";
import { openApiDocument } from "./openapi.ts";
import { problemBody, problemOf, RequestError, type ApiProblem } from "./problem.ts";
import type { RequestLog } from "./request-log.ts";
import type { RequestNote, Route, RouteContext, RouteModule, ServeEnvironment } from "./route.ts";
import { chatRoutes } from "./routes/chat.ts";
import { completionRoutes } from "./routes/completions.ts";
import { embeddingRoutes } from "./routes/embeddings.ts";
import { healthRoutes } from "./routes/health.ts";
import { modelRoutes } from "./routes/models.ts";
import { tokenRoutes } from "./routes/tokens.ts";
import { securityHeaders } from "./security/headers.ts";
import { createApiKeys, keyOf, type ApiKeys } from "./security/keys.ts";
import { isAllowed, refusalOf, type OriginRules } from "./security/origin.ts";
import { eventStream } from "./sse.ts";
import { staticRoutes, type StaticFiles } from "./static.ts";

export interface AppOptions {
  readonly engine: Engine;
  readonly limits?: Partial<ServerLimits>;
  /** Nobody needs a key when there is none. */
  readonly apiKeys?: readonly string[];
  /** Foreign origins whose pages may ask. */
  readonly corsOrigins?: readonly string[];
  /** Whether requests must name the server by a loopback name. */
  readonly wantsLoopbackHost?: boolean;
  readonly log?: RequestLog;
  /** Told of errors that no request is to blame for. */
  readonly report?: (error: unknown) => void;
  /** The built web page, served at `/`. */
  readonly page?: StaticFiles;
  /** Further endpoints. */
  readonly routes?: readonly RouteModule[];
  /** The annotation part, whose page is then served at `/annotate/`. It needs API keys. */
  readonly annotation?: RouteModule;
  /** Whether the server still takes work. */
  readonly isOpen?: () => boolean;
}

/** @throws {ConfigError} for a key that is none, and for annotation without keys. */
export function createApp(options: AppOptions): Hono<ServeEnvironment> {
  const limits = { ...defaultLimits, ...options.limits };
  const context: RouteContext = {
    engine: options.engine,
    limits,
    metrics: new Metrics(),
    isOpen: options.isOpen ?? (() => true),
  };
  const app = new Hono<ServeEnvironment>();
  const gate = createGate(options);
  if (options.annotation !== undefined) checkBlindness(options.apiKeys ?? []);
  for (const route of routesOf(options, context)) {
    app.on([route.method.toUpperCase()], [route.path], (c) =>
      serveRoute(c, route, { options, context, gate }),
    );
  }
  app.options("*", (c) => preflight(c, gate.origins));
  app.notFound((c) => problemResponse(c, notFound(c.req.method, c.req.path)));
  app.onError((error, c) => {
    options.report?.(error);
    return problemResponse(c, problemOf(error));
  });
  return app;
}

// --- internal ---

const ownRoutes: readonly RouteModule[] = [
  chatRoutes,
  completionRoutes,
  embeddingRoutes,
  modelRoutes,
  tokenRoutes,
];

/**
 * Every route. An annotator who could ask a variant by its name would know which of two answers is its: beside the
 * annotation part and what watches the server, all is then for holders of a key, the chat page and the clouds' routes
 * too.
 */
function routesOf({ routes = [], annotation, page }: AppOptions, context: RouteContext): Route[] {
  const files = page === undefined ? [] : staticRoutes(page);
  const own = [...ownRoutes, ...routes].flatMap((module) => module(context));
  const watching = healthRoutes(context);
  if (annotation === undefined) {
    const document = documentRoute([...own, ...watching]);
    return [...own, ...watching, document, ...files.filter(({ path }) => !annotationPage.test(path))];
  }
  const annotating = annotation(context);
  const document = documentRoute([...own, ...watching, ...annotating]);
  const rest = [...own, document, ...files.filter((file) => !isOfAnnotation(file))];
  return [...watching, ...annotating, ...files.filter(isOfAnnotation), ...rest.map(guarded)];
}

function guarded(route: Route): Route {
  return { ...route, isPublic: false };
}

/** Scripts and styles lie in one folder for all pages, and hold no data. */
function isOfAnnotation({ path }: Route): boolean {
  return annotationPage.test(path) || path.startsWith("/assets/");
}

const annotationPage = /^\/annotate(\/|$)/;

interface Gate {
  readonly keys: ApiKeys;
  readonly origins: OriginRules;
}

interface Serving {
  readonly options: AppOptions;
  readonly context: RouteContext;
  readonly gate: Gate;
}

function createGate({ apiKeys = [], corsOrigins = [], wantsLoopbackHost = false }: AppOptions): Gate {
  return { keys: createApiKeys(apiKeys), origins: { allowed: corsOrigins, wantsLoopbackHost } };
}

async function serveRoute(c: Context<ServeEnvironment>, route: Route, serving: Serving): Promise<Response> {
  const start = performance.now();
  const { options, context, gate } = serving;
  const note: RequestNote = {};
  const id = randomUUID();
  c.set("requestId", id);
  c.header("x-request-id", id);
  for (const [name, value] of Object.entries(securityHeaders)) c.header(name, value);
  const ending = new RequestEnd(c.req.raw.signal, context.limits.requestSeconds);
  const ended = (status: number): void => {
    if (!ending.end()) return;
    const ms = performance.now() - start;
    context.metrics.requestEnded(route.path, status, ms / 1000);
    const client = c.get("client") ?? "";
    const time = new Date().toISOString();
    const { method, path } = c.req;
    options.log?.({ time, id, client, method, path, status, ms: Math.round(ms), ...note });
  };
  let isStreaming = false;
  try {
    admit(c, route, gate);
    const body =
      route.body === undefined ? undefined : await readBody(c.req, route.body, context.limits.bodyBytes);
    const stream = (events: AsyncIterator<unknown>): Response => {
      isStreaming = true;
      const response = eventStream(events, {
        cancelled: () => ending.abort(clientLeft()),
        ended(error) {
          if (error !== undefined) note.problem = problemOf(error).code ?? problemOf(error).message;
          ended(200);
        },
      });
      return c.newResponse(response.body, 200, Object.fromEntries(response.headers));
    };
    const call = { c, body, signal: ending.signal, stream, client: c.get("client"), note };
    return await route.handle(call);
  } catch (error) {
    isStreaming = false;
    const problem = problemOf(error);
    if (problem.status >= 500 && !(error instanceof RequestError)) options.report?.(error);
    note.problem = problem.code ?? problem.type;
    ended(problem.status);
    return problemResponse(c, problem);
  } finally {
    if (!isStreaming) ended(c.res.status);
  }
}

/** When a request is over: its client has left, its time is up, or it is answered. */
class RequestEnd {
  readonly #controller = new AbortController();
  readonly #client: AbortSignal;
  readonly #timer: NodeJS.Timeout;
  #isOver = false;

  constructor(client: AbortSignal, seconds: number) {
    this.#client = client;
    client.addEventListener("abort", this.#left);
    this.#timer = setTimeout(() => this.abort(timeUp(seconds)), 1000 * seconds);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  abort(reason: RequestError): void {
    this.#controller.abort(reason);
  }

  /** @returns whether it was not over before. */
  end(): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#client.removeEventListener("abort", this.#left);
    return true;
  }

  readonly #left = (): void => this.abort(clientLeft());
}

/** @throws {RequestError} for a request from elsewhere, or without a key where one is wanted. */
function admit(c: Context<ServeEnvironment>, route: Route, { keys, origins }: Gate): void {
  const header = (name: string): string | undefined => c.req.header(name);
  const refusal = refusalOf(header, origins);
  if (refusal !== undefined) {
    throw new RequestError({
      status: 403,
      message: refusal,
      type: "permission_error",
      code: "origin_refused",
    });
  }
  const origin = header("origin");
  if (origin !== undefined && isAllowed(origin, origins)) {
    c.header("access-control-allow-origin", origin);
    c.header("access-control-expose-headers", "x-request-id, retry-after");
    c.header("cross-origin-resource-policy", "cross-origin");
    c.header("vary", "origin");
  }
  const key = keyOf(header);
  const client = key === undefined ? undefined : keys.clientOf(key);
  c.set("client", client ?? "anonymous");
  if (keys.isOpen || route.isPublic === true || client !== undefined) return;
  throw new RequestError({
    status: 401,
    message:
      key === undefined
        ? "An API key is wanted: send it as `Authorization: Bearer KEY`."
        : "This API key is not known.",
    type: "authentication_error",
    code: "invalid_api_key",
  });
}

/** What a browser asks before a page of another origin may ask. */
function preflight(c: Context<ServeEnvironment>, origins: OriginRules): Response {
  const origin = c.req.header("origin");
  if (origin === undefined || !isAllowed(origin, origins)) {
    return problemResponse(c, {
      status: 403,
      message: "Pages of this origin may not ask this server.",
      type: "permission_error",
      code: "origin_refused",
    });
  }
  return c.body(null, 204, {
    "access-control-allow-origin": origin,
    "access-control-allow-methods": "GET, POST, PUT, DELETE",
    "access-control-allow-headers": "authorization, content-type, api-key, x-api-key",
    "access-control-max-age": "600",
    vary: "origin",
  });
}

function problemResponse(c: Context<ServeEnvironment>, problem: ApiProblem): Response {
  if (problem.retryAfterSeconds !== undefined) c.header("retry-after", String(problem.retryAfterSeconds));
  if (problem.status === 401) {
    // A browser that opens a page asks its user.
    const isPage = c.req.header("accept")?.includes("text/html") === true;
    c.header("www-authenticate", isPage ? 'Basic realm="Cria"' : "Bearer");
  }
  for (const [name, value] of Object.entries(securityHeaders)) c.header(name, value);
  return c.json(problemBody(problem), problem.status as ContentfulStatusCode);
}

function notFound(method: string, path: string): ApiProblem {
  return {
    status: 404,
    message: `There is no ${method} ${path.slice(0, 200)}; GET /openapi.json says what there is.`,
    type: "invalid_request_error",
    code: "unknown_url",
  };
}

function documentRoute(routes: readonly Route[]): Route {
  let document: object | undefined;
  return {
    method: "get",
    path: "/openapi.json",
    summary: "This description",
    isPublic: true,
    handle: ({ c }) => c.json((document ??= openApiDocument(routes))),
  };
}

function clientLeft(): RequestError {
  return new RequestError({
    status: 499,
    message: "The client left.",
    type: "invalid_request_error",
    code: "client_left",
  });
}

function timeUp(seconds: number): RequestError {
  return new RequestError({
    status: 504,
    message: `The request took longer than ${seconds} seconds.`,
    type: "server_error",
    code: "timeout",
  });
}
