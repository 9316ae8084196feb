import { CriaError } from "../../src/errors/errors.ts";

/** What the user reads when `body` fails: the message and the mend. */
export function printed(body: () => unknown): string {
  try {
    body();
  } catch (error) {
    if (error instanceof CriaError) return `${error.message}\n  ${error.mend}`;
    throw error;
  }
  throw new Error("nothing was thrown");
}
