/**
 * The annotation API, an application of its own that the server mounts: who signs in by an invitation sees the own
 * tasks and nobody else's; which variant gave which answer, nobody but the lead; a lead also sees the batches.
 *
 * The session is the invitation's token in a cookie that scripts cannot read and other sites cannot send.
 */

import { Hono, type Context } from "hono";
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import { z } from "zod";
import { CriaError } from "../../errors/errors.ts";
import { annotatorOfToken } from "../../preference/annotation/annotators.ts";
import { AnswerStreams } from "./answer-streams.ts";
import { bodyOf, type AnnotationEnvironment, type AnnotationOptions } from "./http.ts";
import { leadRoutes } from "./lead.ts";
import { taskRoutes } from "./tasks.ts";

export interface AnnotationApp extends Disposable {
  /** Answers below `/annotate/api`. */
  readonly app: Hono<AnnotationEnvironment>;
}

/** The caller disposes it, which stops answers that are being made, and then the database. */
export function createAnnotationApp(options: AnnotationOptions): AnnotationApp {
  const streams = new AnswerStreams(options.database, options.generate);
  const app = new Hono<AnnotationEnvironment>().basePath("/annotate/api");
  app.use(async (c, next) => {
    if (isForeign(c)) return c.json({ error: "Pages of other sites may not ask." }, 403);
    c.header("cache-control", "no-store");
    return next();
  });
  sessionRoutes(app, options);
  app.use(async (c, next) => {
    const annotator = await annotatorOfToken(options.database, getCookie(c, cookie) ?? "");
    if (annotator === undefined) return c.json({ error: "Sign in by your invitation's link." }, 401);
    c.set("annotator", annotator);
    return next();
  });
  taskRoutes(app, options, streams);
  leadRoutes(app, options);
  app.onError((error, c) => {
    if (error instanceof CriaError) return c.json({ error: error.message, mend: error.mend }, 409);
    if (error instanceof z.ZodError || error instanceof SyntaxError) {
      return c.json({ error: "The request is not as the API takes it.", mend: error.message }, 400);
    }
    throw error;
  });
  return { app, [Symbol.dispose]: () => streams[Symbol.dispose]() };
}

// --- internal ---

const cookie = "cria_annotator";
const cookiePath = "/annotate";
const monthSeconds = 30 * 24 * 3600;

/** A page of another site may make its visitor's browser ask; the cookie is not sent then, and this says why. */
function isForeign(c: Context): boolean {
  const origin = c.req.header("origin");
  if (origin === undefined) return false;
  return !URL.canParse(origin) || new URL(origin).host !== c.req.header("host");
}

function sessionRoutes(app: Hono<AnnotationEnvironment>, { database }: AnnotationOptions): void {
  app.post("/session", async (c) => {
    const { token } = await bodyOf(c, z.strictObject({ token: z.string().max(200) }));
    const annotator = await annotatorOfToken(database, token);
    if (annotator === undefined) return c.json({ error: "This invitation is not valid any more." }, 401);
    setCookie(c, cookie, token, {
      httpOnly: true,
      sameSite: "Strict",
      path: cookiePath,
      maxAge: monthSeconds,
      // Loopback has no TLS; a proxy before another host says whether it has.
      secure: c.req.header("x-forwarded-proto") === "https",
    });
    return c.json({ name: annotator.name, role: annotator.role });
  });
  app.delete("/session", (c) => {
    deleteCookie(c, cookie, { path: cookiePath });
    return c.json({});
  });
}
