/**
 * Who is signed in. The session is the invitation's token in a cookie that scripts cannot read and other sites cannot
 * send; an API key signs nobody in, and the token opens nothing but the annotation part.
 */

import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import { z } from "zod";
import { annotatorOfToken, type Annotator } from "../../preference/annotation/annotators.ts";
import { RequestError } from "../problem.ts";
import { defineRoute, type Route, type RouteCall } from "../route.ts";
import type { AnnotationOptions } from "./annotation.ts";

/** Before the paths of all its routes. */
export const apiPath = "/annotate/api";

export function sessionRoutes({ database }: Pick<AnnotationOptions, "database">): Route[] {
  return [
    defineRoute({
      method: "post",
      path: `${apiPath}/session`,
      summary: "Signs an annotator in, by an invitation's token",
      isPublic: true,
      body: z.strictObject({ token: z.string().max(200) }),
      async handle({ c, body: { token } }) {
        const annotator = await annotatorOfToken(database, token);
        if (annotator === undefined) throw unknown("This invitation is not valid any more.");
        setCookie(c, cookie, token, {
          httpOnly: true,
          sameSite: "Strict",
          path: "/annotate",
          maxAge: monthSeconds,
          // Loopback has no TLS; a proxy before another host says whether it has.
          secure: c.req.header("x-forwarded-proto") === "https",
        });
        return c.json({ name: annotator.name, role: annotator.role }, 200, unstored);
      },
    }),
    {
      method: "delete",
      path: `${apiPath}/session`,
      summary: "Signs out",
      isPublic: true,
      handle({ c }) {
        deleteCookie(c, cookie, { path: "/annotate" });
        return c.json({}, 200, unstored);
      },
    },
  ];
}

/** A route whose handler knows who asks. */
export type SignedInRoute<S extends z.ZodType> = Omit<Route, "isPublic" | "body" | "handle"> & {
  readonly body?: S;
  readonly handle: (call: SignedInCall<S>) => Response | Promise<Response>;
};

export type SignedInCall<S extends z.ZodType = z.ZodType> = Omit<RouteCall, "body"> & {
  readonly body: z.output<S>;
  readonly annotator: Annotator;
};

/** Makes routes, each for those who are signed in; `path` is below {@link apiPath}. */
export function signedIn({ database }: Pick<AnnotationOptions, "database">) {
  return <S extends z.ZodType>({ path, handle, ...route }: SignedInRoute<S>): Route => ({
    ...route,
    path: apiPath + path,
    isPublic: true,
    async handle(call) {
      const annotator = await annotatorOfToken(database, getCookie(call.c, cookie) ?? "");
      if (annotator === undefined) throw unknown("Sign in by your invitation's link.");
      call.c.header("cache-control", "no-store");
      return handle({ ...call, body: call.body as z.output<S>, annotator });
    },
  });
}

// --- internal ---

const cookie = "cria_annotator";
const monthSeconds = 30 * 24 * 3600;
const unstored = { "cache-control": "no-store" };

function unknown(message: string): RequestError {
  return new RequestError({ status: 401, message, type: "authentication_error", code: "not_invited" });
}
