import { CriaError } from "../../src/errors/errors.ts";

/** The error of `body` as the command line prints it, with `folder` left out of paths. */
export function printed(body: () => unknown, folder = ""): string {
  try {
    body();
  } catch (error) {
    if (!(error instanceof CriaError)) throw error;
    return `${error.name}: ${error.message}\n  ${error.mend}`.replaceAll(folder === "" ? "\0" : folder, "");
  }
  throw new Error("nothing was thrown");
}
