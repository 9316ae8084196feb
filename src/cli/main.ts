/** The program: what `bin/cria.js` runs. */

import { processTerminal } from "./process.ts";
import { run } from "./run.ts";

// Set, not called: process.exit would cut off what a pipe has not taken yet.
process.exitCode = await run(process.argv.slice(2), processTerminal());
