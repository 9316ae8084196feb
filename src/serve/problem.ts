/**
 * What goes wrong with a request, in the shape of OpenAI's API (platform.openai.com/docs/guides/error-codes):
 *
 *     {"error": {"message": ..., "type": ..., "param": ..., "code": ...}}
 */

import { ConfigError, CriaError } from "../errors/errors.ts";

export interface ApiProblem {
  /** Of HTTP. */
  readonly status: number;
  readonly message: string;
  readonly type: ProblemType;
  /** The field at fault, such as `messages.0.content`. */
  readonly param?: string;
  readonly code?: string;
  readonly retryAfterSeconds?: number;
}

export type ProblemType =
  | "invalid_request_error"
  | "authentication_error"
  | "permission_error"
  | "rate_limit_error"
  | "server_error";

/** Ends a request with a problem. */
export class RequestError extends CriaError {
  readonly problem: ApiProblem;

  constructor(problem: ApiProblem, cause?: unknown) {
    super(problem.message, cause === undefined ? {} : { cause });
    this.problem = problem;
  }
}

/** A request that cannot be right. */
export function invalid(message: string, param?: string, code?: string): RequestError {
  return new RequestError({
    status: 400,
    message,
    type: "invalid_request_error",
    ...(param === undefined ? {} : { param }),
    ...(code === undefined ? {} : { code }),
  });
}

export function unavailable(message: string, code: string, retryAfterSeconds = 1): RequestError {
  return new RequestError({ status: 503, message, type: "server_error", code, retryAfterSeconds });
}

/** The body of an answer that reports a problem. */
export function problemBody({ message, type, param, code }: ApiProblem): {
  error: { message: string; type: string; param: string | null; code: string | null };
} {
  return { error: { message, type, param: param ?? null, code: code ?? null } };
}

/**
 * What of an error a client may see: settings that cannot be are the client's, everything else is the server's and
 * stays there.
 */
export function problemOf(error: unknown): ApiProblem {
  if (error instanceof RequestError) return error.problem;
  if (error instanceof ConfigError) {
    const message = error.mend === "" ? error.message : `${error.message}. ${error.mend}`;
    return { status: 400, message, type: "invalid_request_error" };
  }
  return {
    status: 500,
    message: "The server failed at this request; its log says why.",
    type: "server_error",
    code: "internal_error",
  };
}
