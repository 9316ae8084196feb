import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cosineSchedule } from "../../src/train/schedule.ts";
import { printed } from "./printed.ts";

describe("Llama 2's schedule: peak 3e-4, 2000 steps of warm-up, 500 000 steps", () => {
  const lr = cosineSchedule({ peak: 3e-4, warmupSteps: 2000, steps: 500_000, minRatio: 0.1 });

  test("rises in a straight line to the peak", () => {
    expect(lr(1)).toBeCloseTo(1.5e-7, 18);
    expect(lr(1000)).toBeCloseTo(1.5e-4, 15);
    expect(lr(2000)).toBe(3e-4);
  });

  test("is halfway between peak and end in the middle of the cosine", () => {
    expect(lr(251_000)).toBeCloseTo(1.65e-4, 15);
  });

  test("ends at a tenth of the peak and stays there", () => {
    expect(lr(500_000)).toBeCloseTo(3e-5, 15);
    expect(lr(600_000)).toBe(lr(500_000));
  });
});

test("without warm-up the first step has nearly the peak", () => {
  const lr = cosineSchedule({ peak: 1, warmupSteps: 0, steps: 4, minRatio: 0 });
  expect([0, 2, 4].map(lr)).toEqual([1, expect.closeTo(0.5, 15), 0]);
});

test("a run that is all warm-up ends at the peak", () => {
  const lr = cosineSchedule({ peak: 1, warmupSteps: 4, steps: 4, minRatio: 0.1 });
  expect([1, 2, 4].map(lr)).toEqual([0.25, 0.5, 1]);
});

test("with minRatio 1 the rate is constant after the warm-up", () => {
  const lr = cosineSchedule({ peak: 1, warmupSteps: 2, steps: 10, minRatio: 1 });
  expect([2, 5, 10, 11].map(lr)).toEqual([1, 1, 1, 1]);
});

test("the rate rises through the warm-up, falls after it, and stays within its bounds", () => {
  const options = fc
    .record({
      warmupSteps: fc.nat(100),
      rest: fc.integer({ min: 1, max: 1000 }),
      minRatio: fc.double({ min: 0, max: 1, noNaN: true }),
    })
    .map(({ warmupSteps, rest, minRatio }) => ({
      peak: 2,
      warmupSteps,
      steps: warmupSteps + rest,
      minRatio,
    }));
  fc.assert(
    fc.property(options, (schedule) => {
      const lr = cosineSchedule(schedule);
      const rates = Array.from({ length: schedule.steps + 1 }, (_, step) => lr(step));
      const isRightWay = (rate: number, step: number): boolean =>
        step === 0 ||
        (step <= schedule.warmupSteps ? rate > rates[step - 1]! : rate <= rates[step - 1]! + 1e-12);
      expect(rates.every(isRightWay)).toBe(true);
      expect(rates.every((rate) => rate > -1e-12 && rate < 2 + 1e-12)).toBe(true);
    }),
  );
});

test("a warm-up longer than the run is refused, with one that fits", () => {
  expect(printed(() => cosineSchedule({ peak: 1, warmupSteps: 2000, steps: 500, minRatio: 0.1 })))
    .toMatchInlineSnapshot(`
      "warmup_steps (2000) is more than the run's 500 steps
        Set warmup_steps to a tenth of the run or less, such as 25."
    `);
});

test("rates and ratios that cannot be right are refused", () => {
  const good = { peak: 1, warmupSteps: 0, steps: 10, minRatio: 0.1 };
  const messages = [
    { peak: 0 },
    { peak: Number.NaN },
    { minRatio: 1.5 },
    { steps: 0 },
    { warmupSteps: 0.5 },
  ].map((wrong) => printed(() => cosineSchedule({ ...good, ...wrong })).split("\n")[0]);
  expect(messages).toMatchInlineSnapshot(`
    [
      "lr (0) is not a number above 0",
      "lr (NaN) is not a number above 0",
      "min_lr_ratio (1.5) is not between 0 and 1",
      "steps (0) is not a whole number of at least 1",
      "warmup_steps (0.5) is not a whole number of at least 0",
    ]
  `);
});
