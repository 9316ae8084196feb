import type { Reporter, SerializedError, TestModule } from "vitest/node";

/**
 * Ends the run with "N passed, N failed, N skipped", the line CI reads. An error outside of any test has failed too,
 * such as the end of a process that native code aborted, and so has each test that it left without a result.
 */
export default class PlainTotals implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    const count = { passed: 0, failed: unhandled.length, skipped: 0, pending: 0 };
    for (const module of modules) {
      if (module.errors().length > 0) count.failed += 1;
      for (const test of module.children.allTests()) count[test.result().state] += 1;
    }
    const failed = count.failed + count.pending;
    process.stdout.write(`${count.passed} passed, ${failed} failed, ${count.skipped} skipped\n`);
  }
}
