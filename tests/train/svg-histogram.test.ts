import { expect, test } from "vitest";
import { histogram } from "../../src/train/svg-histogram.ts";

const svg = histogram({
  title: "Scores <of> answers",
  xLabel: "σ",
  yLabel: "answers",
  range: [0, 1],
  groups: [
    { name: "chosen", counts: [0, 2, 4, 1] },
    { name: "rejected", counts: [4, 2, 0, 0] },
  ],
});

interface Bar {
  readonly x: number;
  readonly width: number;
  readonly height: number;
}

const bars: Bar[] = [
  ...svg.matchAll(/<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)" height="([\d.]+)"/g),
].map(([, x, width, height]) => ({ x: Number(x), width: Number(width), height: Number(height) }));

test("bars are as high as their counts", () => {
  const heights = bars.map(({ height }) => height);
  expect(heights.map((height) => height / heights[2]!)).toEqual([0, 0.5, 1, 0.25, 1, 0.5, 0, 0]);
});

test("groups lie side by side and do not overlap", () => {
  const sorted = bars.toSorted((a, b) => a.x - b.x);
  for (const [i, bar] of sorted.entries())
    if (i > 0) expect(bar.x).toBeGreaterThanOrEqual(sorted[i - 1]!.x + sorted[i - 1]!.width - 0.2);
});

test("names are escaped, and every group has its own", () => {
  expect(svg).toContain("Scores &lt;of&gt; answers");
  expect(svg).toContain(">chosen</text>");
  expect(svg).toContain(">rejected</text>");
});

test("nothing counted draws no bar of a height", () => {
  const empty = histogram({
    title: "t",
    xLabel: "",
    yLabel: "",
    range: [0, 1],
    groups: [{ name: "a", counts: [0, 0] }],
  });
  expect(empty.match(/height="0"/g)).toHaveLength(2);
  expect(empty).not.toContain("NaN");
});
