import * as fc from "fast-check";
import { expect, test } from "vitest";
import { Progress, type ProgressOptions, type ProgressState } from "../../src/cli/progress.ts";
import { displayWidth } from "../../src/cli/terminal.ts";
import { MemoryStream } from "./memory-terminal.ts";

/** A progress bar with a clock that the test sets, in milliseconds. */
function progressAt(stream: MemoryStream, options: Partial<ProgressOptions> = {}) {
  const clock = { ms: 0 };
  const progress = new Progress({
    label: "Pretraining",
    total: 100,
    unit: "steps",
    stream,
    now: () => clock.ms,
    ...options,
  });
  const at = (ms: number, state: ProgressState) => {
    clock.ms = ms;
    progress.update(state);
  };
  return { progress, at, clock };
}

/** What stands on the terminal's last line. */
function lastLine(stream: MemoryStream): string {
  return stream.text.split("\r").at(-1)!.replace("\u001B[K", "");
}

test("a terminal has one line: bar, percent, count, loss, speed and time left", () => {
  const stream = new MemoryStream(true, 100);
  const { at } = progressAt(stream);
  at(10_000, { done: 25, loss: 3.25, tokensPerSecond: 4321, note: "" });
  expect(lastLine(stream)).toBe(
    "Pretraining ███████▌······················  25% 25/100 steps · loss 3.250 · 4321 tok/s · 30 s left",
  );
  expect(stream.text).not.toContain("\n");
});

test("the line is rewritten at most ten times a second", () => {
  const stream = new MemoryStream(true, 80);
  const { at } = progressAt(stream);
  for (let ms = 0; ms < 1000; ms += 1) at(ms, { done: ms / 10 });
  expect(stream.text.split("\r").length - 1).toBe(10);
});

test("elsewhere there is a plain line every ten seconds", () => {
  const stream = new MemoryStream();
  const { at, progress } = progressAt(stream);
  for (let ms = 0; ms <= 25_000; ms += 100) at(ms, { done: ms / 1000, loss: 2 });
  progress.end();
  expect(stream.text).toBe(
    "Pretraining  10% · 10/100 steps · loss 2.000 · 1 min 30 s left\n" +
      "Pretraining  20% · 20/100 steps · loss 2.000 · 1 min 20 s left\n" +
      "Pretraining: 25 steps in 25 s\n",
  );
});

test("the line is never longer than the terminal is wide", () => {
  const state = fc.record(
    {
      done: fc.nat(1000),
      loss: fc.double({ min: 0, max: 1e6, noNaN: true }),
      tokensPerSecond: fc.nat(),
      note: fc.string({ unit: "grapheme" }),
    },
    { requiredKeys: ["done"] },
  );
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 200 }), fc.nat(1000), state, (columns, total, shown) => {
      const stream = new MemoryStream(true, columns);
      progressAt(stream, { total }).at(60_000, shown);
      expect(displayWidth(lastLine(stream))).toBeLessThan(Math.max(2, columns));
    }),
  );
});

test("without a total it counts", () => {
  const stream = new MemoryStream(true, 80);
  progressAt(stream, { total: 0, unit: "documents" }).at(5000, { done: 12, note: "books" });
  expect(lastLine(stream)).toBe("Pretraining  12 documents · books");
});

test("a resumed task counts its speed from where it went on", () => {
  const stream = new MemoryStream(true, 80);
  progressAt(stream, { start: 80 }).at(10_000, { done: 90 });
  expect(lastLine(stream)).toContain("10 s left");
});

test("a line of text stands above the bar, and the end removes the bar", () => {
  const stream = new MemoryStream(true, 80);
  const { at, progress, clock } = progressAt(stream);
  at(0, { done: 1 });
  progress.log("validation 2.5");
  at(1000, { done: 100 });
  clock.ms = 2000;
  progress.end("2.4 bits per byte");
  expect(stream.text).toContain("\r\u001B[Kvalidation 2.5\n");
  expect(stream.text.endsWith("\r\u001B[KPretraining: 2.4 bits per byte in 2.0 s\n")).toBe(true);
});

test("one that is disposed without an end leaves nothing behind, and one that has ended stays silent", () => {
  const stream = new MemoryStream(true, 80);
  const { at, progress } = progressAt(stream);
  at(0, { done: 1 });
  progress[Symbol.dispose]();
  expect(stream.text.endsWith("\r\u001B[K")).toBe(true);
  const before = stream.text;
  at(5000, { done: 2 });
  progress.end();
  progress[Symbol.dispose]();
  expect(stream.text).toBe(before);
});
