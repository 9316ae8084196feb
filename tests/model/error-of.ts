import { CriaError } from "../../src/errors/errors.ts";

/** The error as a user reads it: its class, its message, and the mend on the next line. */
export function errorOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof CriaError) return `${error.name}: ${error.message}\n  ${error.mend}`;
    throw error;
  }
  throw new Error("nothing was refused");
}
