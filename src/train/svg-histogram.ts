/**
 * Histograms side by side as one inline SVG, without scripts: how many values lie in each of some equal parts of a
 * range, for one or more groups. Colours as in the line chart.
 */

import { escapeMarkup, roundTicks, seriesColours } from "./svg-chart.ts";

export interface Histogram {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  /** The ends of the range. */
  readonly range: readonly [low: number, high: number];
  /** Equally many counts in each group. */
  readonly groups: readonly { readonly name: string; readonly counts: readonly number[] }[];
}

export function histogram({ title, xLabel, yLabel, range, groups }: Histogram): string {
  const most = Math.max(1, ...groups.flatMap(({ counts }) => counts));
  const bins = groups[0]?.counts.length ?? 0;
  const y = (count: number): number => bottom - (count / most) * (bottom - top);
  const x = (value: number): number => left + ((value - range[0]) / (range[1] - range[0])) * (right - left);
  const step = (right - left) / Math.max(1, bins);
  const width = (step - 2) / Math.max(1, groups.length);
  const bars = groups.flatMap(({ counts }, group) =>
    counts.map((count, bin) => {
      const from = left + bin * step + 1 + group * width;
      const height = bottom - y(count);
      return `<rect x="${num(from)}" y="${num(y(count))}" width="${num(width)}" height="${num(height)}" fill="${colour(group)}"/>`;
    }),
  );
  const yTicks = roundTicks(0, most, 4).flatMap((tick) => [
    `<line x1="${left}" y1="${num(y(tick))}" x2="${right}" y2="${num(y(tick))}" stroke="var(--grid, #8883)"/>`,
    label(left - 8, y(tick) + 4, String(tick), "end"),
  ]);
  const xTicks = roundTicks(range[0], range[1], 5).map((tick) =>
    label(x(tick), bottom + 18, String(tick), "middle"),
  );
  return [
    `<svg class="chart" viewBox="0 0 720 260" role="img" aria-label="${escapeMarkup(title)}" ` +
      `xmlns="http://www.w3.org/2000/svg" font-size="12" fill="none" style="width:100%;height:auto;font-family:inherit">`,
    `<title>${escapeMarkup(title)}</title>`,
    `<text x="0" y="15" fill="var(--ink, currentColor)" font-size="14" font-weight="600">${escapeMarkup(title)}</text>`,
    label(0, 36, yLabel, "start"),
    ...groups.map(
      ({ name }, i) =>
        `<text x="${num(right - 110 * (groups.length - 1 - i))}" y="36" fill="${colour(i)}" text-anchor="end" font-weight="600">${escapeMarkup(name)}</text>`,
    ),
    ...yTicks,
    ...bars,
    `<line x1="${left}" y1="${bottom}" x2="${right}" y2="${bottom}" stroke="var(--muted, #7a7a7a)"/>`,
    ...xTicks,
    label((left + right) / 2, bottom + 36, xLabel, "middle"),
    "</svg>",
  ].join("\n");
}

// --- internal ---

const [left, right, top, bottom] = [48, 712, 48, 220];

function label(x: number, y: number, text: string, anchor: "start" | "middle" | "end"): string {
  return `<text x="${num(x)}" y="${num(y)}" fill="var(--muted, #7a7a7a)" text-anchor="${anchor}">${escapeMarkup(text)}</text>`;
}

function colour(i: number): string {
  const k = i % seriesColours.length;
  return `var(--series-${k + 1}, ${seriesColours[k]})`;
}

/** Tenths of a pixel are enough. */
function num(value: number): string {
  return String(Math.round(value * 10) / 10);
}
