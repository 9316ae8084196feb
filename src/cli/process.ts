/** The command line's own process: its streams, its interrupts, and streams that take no more. */

import { exitCodes, type Terminal } from "./run.ts";

export function processTerminal(): Terminal {
  // `cria inspect model.gguf | head`: the reader has seen enough, which is no error of ours.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(exitCodes.done);
    const problem = error.code === "ENOSPC" ? "the disk is full" : error.message;
    process.stderr.write(`Error: standard output cannot be written: ${problem}\n  Send it elsewhere.\n`);
    process.exit(exitCodes.failed);
  });
  // What only tells how the work goes is not worth ending it.
  process.stderr.on("error", () => {});
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
