/** Options of commands whose texts may go on when the context is full. */

import { ConfigError } from "../errors/errors.ts";
import type { Arguments, ArgumentValues } from "./command.ts";

export const contextShiftArguments = {
  "context-shift": {
    type: "boolean",
    description: "When the context is full, forget the older half and go on",
  },
  keep: {
    type: "string",
    as: "integer",
    min: -1,
    valueHint: "N",
    description: "With --context-shift: never forget the prompt's first N tokens; -1 is all",
  },
} as const satisfies Arguments;

/**
 * How many tokens of the prompt are never forgotten, at most; undefined when the context does not shift.
 *
 * @throws {ConfigError} for --keep without --context-shift.
 */
export function keptTokensOf({
  "context-shift": isShifting,
  keep,
}: ArgumentValues<typeof contextShiftArguments>): number | undefined {
  // The beginning-of-text token always stays: the model was never trained without it.
  if (isShifting) return keep === -1 ? Number.MAX_SAFE_INTEGER : 1 + (keep ?? 0);
  if (keep === undefined) return undefined;
  throw new ConfigError(`--keep ${keep} is for a context that shifts`, {
    mend: "Give --context-shift too.",
  });
}
