import { describe, expect, test } from "vitest";
import { maxRelativeError, numericalGradient } from "../gradient/numerical.ts";
import { ops } from "./ops.ts";
import { normals, randomArray } from "./random.ts";

const elements = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

describe.each(ops)("$name", ({ shapes, outputShape, forward, backward }) => {
  const next = normals(7);
  const inputs = shapes.map((shape) => randomArray(elements(shape), next));
  const dy = randomArray(elements(outputShape), next);

  test("gives as many numbers as its output's shape says", () => {
    expect(forward(inputs)).toHaveLength(elements(outputShape));
  });

  test.each(shapes.map((shape, i) => [i, shape] as const))(
    "input %i, %j: the gradient is what differences say, to 1e-10",
    (i) => {
      // L = dy · y, so that dL/dy = dy.
      const loss = (theta: Float64Array): number =>
        forward(inputs.with(i, theta)).reduce((sum, y, at) => sum + y * dy[at]!, 0);
      const gradient = backward(inputs, dy)[i]!;
      expect(gradient.some((value) => value !== 0)).toBe(true);
      expect(maxRelativeError(gradient, numericalGradient(loss, inputs[i]!))).toBeLessThan(1e-10);
    },
  );
});
