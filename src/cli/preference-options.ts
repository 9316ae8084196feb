/** What the commands that read files of preferences share. */

import type { ReadComparisonsOptions } from "../preference/read.ts";
import type { Arguments } from "./command.ts";

export const pairArguments = {
  quality: {
    type: "string",
    choices: ["helpfulness", "safety"],
    description: "What pairs that do not say so are about; safety where the path says harmless",
  },
  judge: {
    type: "string",
    valueHint: "NAME",
    description: "Who preferred, for pairs that do not say so",
  },
} as const satisfies Arguments;

export function pairDefaultsOf(args: {
  readonly quality: string | undefined;
  readonly judge: string | undefined;
}): ReadComparisonsOptions {
  return {
    ...(args.quality === undefined ? {} : { quality: args.quality === "safety" ? "safety" : "helpfulness" }),
    ...(args.judge === undefined ? {} : { judge: args.judge }),
  };
}
