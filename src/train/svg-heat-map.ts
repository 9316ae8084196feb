/** A matrix of values from 0 to 1 as one inline SVG: the darker a cell, the greater its value. */

import { escapeMarkup } from "./svg-chart.ts";

export interface HeatMap {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  /** From 0 to 1. Cells that are 0 are left blank. `[rows][columns]` */
  readonly cells: readonly (readonly number[])[];
  /** Columns before this one are marked off by a line. */
  readonly divider?: number;
}

export function heatMap({ title, xLabel, yLabel, cells, divider }: HeatMap): string {
  const columns = Math.max(1, ...cells.map(({ length }) => length));
  const size = Math.max(3, Math.min(12, Math.floor(PLOT / Math.max(columns, cells.length))));
  const [width, height] = [columns * size, cells.length * size];
  const rects = cells.flatMap((row, y) =>
    row.flatMap((value, x) =>
      value > 0
        ? [
            `<rect x="${x * size}" y="${y * size}" width="${size}" height="${size}" fill-opacity="${opacity(value)}"/>`,
          ]
        : [],
    ),
  );
  const line =
    divider === undefined
      ? ""
      : `<path d="M${divider * size} 0V${height}" stroke="var(--series-2, #d9622b)" stroke-width="1.5"/>`;
  const [fullWidth, fullHeight] = [LEFT + Math.max(width, MIN_WIDTH) + 10, TOP + height + 30];
  // At its own size and no larger: its letters are as large as those of the charts.
  return [
    `<svg width="${fullWidth}" height="${fullHeight}" viewBox="0 0 ${fullWidth} ${fullHeight}" role="img" ` +
      `aria-label="${escapeMarkup(title)}" xmlns="http://www.w3.org/2000/svg" font-size="12" ` +
      'style="display:block;max-width:100%;height:auto;font-family:inherit">',
    `<title>${escapeMarkup(title)}</title>`,
    `<text x="0" y="15" fill="var(--ink, currentColor)" font-size="14" font-weight="600">${escapeMarkup(title)}</text>`,
    `<text x="0" y="${TOP - 6}" fill="${MUTED}">${escapeMarkup(yLabel)}</text>`,
    `<g transform="translate(${LEFT} ${TOP})" fill="var(--series-1, #2f7fd6)">`,
    `<rect width="${width}" height="${height}" fill="none" stroke="var(--grid, #ddd)"/>`,
    ...rects,
    line,
    "</g>",
    `<text x="${LEFT}" y="${TOP + height + 18}" fill="${MUTED}">${escapeMarkup(xLabel)}</text>`,
    "</svg>",
  ].join("\n");
}

// --- internal ---

/** CSS pixels. */
const PLOT = 480;
const MIN_WIDTH = 420;
const LEFT = 10;
const TOP = 48;
const MUTED = "var(--muted, #7a7a7a)";

function opacity(value: number): string {
  return String(Math.round(Math.min(1, value) * 1000) / 1000);
}
