/** The command line's own process: its streams, its interrupts, and pipes that are closed early. */

import { exitCodes, type Terminal } from "./run.ts";

export function processTerminal(): Terminal {
  // `cria inspect model.gguf | head`: the reader has seen enough, which is no error of ours.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(exitCodes.done);
    throw error;
  });
  return {
    stdout: process.stdout,
    stderr: process.stderr,
    environment: process.env,
    onInterrupt(callback) {
      let isFirst = true;
      process.on("SIGINT", () => {
        if (!isFirst) process.exit(exitCodes.interrupted);
        isFirst = false;
        process.stderr.write("\nStopping; press Ctrl-C again to stop at once.\n");
        callback();
      });
    },
  };
}
