import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { MetricsLog, readMetrics, type MetricsRecord } from "../../src/train/metrics.ts";
import { printed } from "./printed.ts";

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "cria-metrics-"));
  path = join(folder, "metrics.jsonl");
});
afterEach(() => rmSync(folder, { recursive: true }));

function write(afterStep: number, ...records: MetricsRecord[]): void {
  using log = new MetricsLog(path, afterStep);
  for (const record of records) log.append(record);
}

test("what is appended is read back", () => {
  const records = [
    { step: 1, tokens: 64, seconds: 0.5, loss: 2.5, lr: 1e-3, gradNorm: 1.25, tokensPerSecond: 128 },
    { step: 1, kind: "validation", validationLoss: 2.75 },
  ];
  write(0, ...records);
  expect(readMetrics(path)).toEqual(records);
});

test("a record is one line of JSON", () => {
  write(0, { step: 1, loss: 2.5 });
  expect(readFileSync(path, "utf8")).toBe('{"step":1,"loss":2.5}\n');
});

test("a line is on disk as soon as it is appended", () => {
  using log = new MetricsLog(path, 0);
  log.append({ step: 1 });
  expect(readMetrics(path)).toEqual([{ step: 1 }]);
});

test("a resumed run cuts off what lies after its checkpoint, and goes on from there", () => {
  write(0, { step: 1, loss: 3 }, { step: 2, loss: 2 }, { step: 2, note: "validation" }, { step: 3, loss: 1 });
  write(2, { step: 3, loss: 1.5 });
  expect(readMetrics(path)).toEqual([
    { step: 1, loss: 3 },
    { step: 2, loss: 2 },
    { step: 2, note: "validation" },
    { step: 3, loss: 1.5 },
  ]);
});

test("a run started afresh begins an empty log", () => {
  write(0, { step: 1, loss: 3 });
  write(0);
  expect(readMetrics(path)).toEqual([]);
});

test("a half-written last line, as a killed process leaves it, is dropped", () => {
  const whole = '{"step":1,"loss":3}\n{"step":2,"loss":2}\n';
  for (let cut = whole.indexOf("\n") + 1; cut < whole.length; cut += 1) {
    writeFileSync(path, whole.slice(0, cut));
    expect(readMetrics(path)).toEqual([{ step: 1, loss: 3 }]);
    write(9, { step: 2, loss: 4 });
    expect(readMetrics(path)).toEqual([
      { step: 1, loss: 3 },
      { step: 2, loss: 4 },
    ]);
  }
});

test("a last line that is garbage, as a lost disk block leaves it, is dropped too", () => {
  writeFileSync(path, '{"step":1}\n\0\0\0\0\n');
  expect(readMetrics(path)).toEqual([{ step: 1 }]);
});

test("a loss that is not finite is read back as NaN", () => {
  write(0, { step: 1, loss: Number.NaN }, { step: 2, loss: Number.POSITIVE_INFINITY });
  expect(readMetrics(path)).toEqual([
    { step: 1, loss: Number.NaN },
    { step: 2, loss: Number.NaN },
  ]);
});

test("damage before the last line is an error with file and offset", () => {
  writeFileSync(path, '{"step":1}\nnonsense\n{"step":2}\n');
  expect(printed(() => readMetrics(path)).replace(folder, "")).toMatchInlineSnapshot(`
    "/metrics.jsonl, byte 11: this line is not a record with a step
      Delete the line, or start the run afresh under another --name."
  `);
  expect(() => new MetricsLog(path, 2)).toThrow("not a record");
  expect(readFileSync(path, "utf8")).toContain('{"step":2}');
});

test("a closed log says so", () => {
  const log = new MetricsLog(path, 0);
  log[Symbol.dispose]();
  log[Symbol.dispose]();
  expect(printed(() => log.append({ step: 7 })).replace(folder, "")).toMatchInlineSnapshot(`
    "/metrics.jsonl is closed: step 7 cannot be added to it
      "
  `);
});
