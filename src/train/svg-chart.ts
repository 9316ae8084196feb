/**
 * A line chart as one inline SVG, without scripts: axes with round ticks, series named at their ends.
 *
 * Colours come from the page's CSS variables (--series-1 ..., --grid, --ink, --muted), with fallbacks, so that one
 * drawing serves light and dark. Series are told apart by their dashes too, not by colour alone.
 */

export type Point = readonly [x: number, y: number];

export interface Series {
  readonly name: string;
  /** In the order of x. Points that are not finite break the line. */
  readonly points: readonly Point[];
  /** For what is a reference and not a measurement. */
  readonly dashed?: boolean;
  /** For what is no course of anything: each point is drawn by itself. */
  readonly scattered?: boolean;
}

export interface LineChart {
  readonly title: string;
  readonly series: readonly Series[];
  readonly xLabel: string;
  readonly yLabel: string;
  /** In CSS pixels at the chart's full width of 720. */
  readonly height?: number;
}

/** Colours in the order of the series, each readable on white and on near-black (contrast of 3 or more to both). */
export const seriesColours = ["#2f7fd6", "#d9622b", "#2b9a5f", "#a866d1", "#b8860b", "#d4488e"] as const;

export function lineChart(chart: LineChart): string {
  const { title, xLabel, yLabel, height = 300 } = chart;
  const series = chart.series.map(({ points, ...rest }) => ({
    ...rest,
    points: downsample(points, MAX_POINTS),
  }));
  const finite = series.flatMap(({ points }) => points.filter(isFinitePoint));
  const frame = frameOf(finite, series, height);
  const parts = [
    `<svg class="chart" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escapeMarkup(title)}" ` +
      `xmlns="http://www.w3.org/2000/svg" font-size="12" fill="none" style="${STYLE}">`,
    `<title>${escapeMarkup(title)}</title>`,
    text([0, 15], title, { fill: "ink", extra: ' font-size="14" font-weight="600"' }),
    text([0, 36], yLabel, { fill: "muted" }),
    ...legend(series, 20 + GLYPH * yLabel.length),
    ...axes(frame, xLabel),
  ];
  if (finite.length === 0) {
    const middle: Point = [(frame.left + frame.right) / 2, (frame.top + frame.bottom) / 2];
    parts.push(text(middle, "nothing measured yet", { fill: "muted", anchor: "middle" }));
  }
  for (const [i, one] of series.entries()) parts.push(...drawSeries(one, i, frame));
  parts.push(...labels(series, frame), "</svg>");
  return parts.join("\n");
}

/** For text and for attributes in double quotes, in HTML and in XML. */
export function escapeMarkup(text: string): string {
  return (
    text
      .replaceAll("&", "&amp;")
      .replaceAll("<", "&lt;")
      .replaceAll(">", "&gt;")
      .replaceAll('"', "&quot;")
      .replaceAll("'", "&#39;")
      // XML 1.0 has no other control characters, escaped or not.
      // oxlint-disable-next-line no-control-regex -- they are what it removes
      .replace(/[\u0000-\u0008\u000B\u000C\u000E-\u001F]/g, "\uFFFD")
  );
}

/**
 * At most `most` points: the least and the greatest of each bucket, so that no spike is lost, and both ends.
 * Points that are not finite are dropped when there are too many.
 */
export function downsample(points: readonly Point[], most: number): readonly Point[] {
  if (points.length <= most) return points;
  const finite = points.filter(isFinitePoint);
  const buckets = Math.floor((most - 2) / 2);
  const inner = finite.slice(1, -1);
  const kept = finite.slice(0, 1);
  for (let bucket = 0; bucket < buckets; bucket += 1) {
    const from = Math.floor((bucket * inner.length) / buckets);
    const to = Math.floor(((bucket + 1) * inner.length) / buckets);
    kept.push(...extremes(inner, from, to));
  }
  return [...kept, ...finite.slice(-1)];
}

/** Round numbers (1, 2 or 5 times a power of ten) that divide a range into about `count` parts. */
export function roundTicks(low: number, high: number, count: number): number[] {
  const step = roundStep((high - low) / count);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  // A multiple, not a sum: sums of 0.1 drift.
  return Array.from({ length: last - first + 1 }, (_, i) => tidy((first + i) * step));
}

// --- internal ---

const WIDTH = 720;
const MAX_POINTS = 600;
/** A character's width at 12 pixels, in a wide font and in bold: nothing here measures text. */
const GLYPH = 8.2;
const STYLE = "width:100%;height:auto;font-family:inherit";

interface Frame {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  readonly xTicks: readonly number[];
  readonly yTicks: readonly number[];
  readonly x: (value: number) => number;
  readonly y: (value: number) => number;
}

function frameOf(points: readonly Point[], series: readonly Series[], height: number): Frame {
  const xs = points.map(([x]) => x);
  const [xLow, xHigh] = widened(extent(xs));
  // There is no half of a step or of a version.
  const isWhole = xs.every(Number.isInteger);
  const [yLow, yHigh] = widened(padded(extent(points.map(([, y]) => y))));
  const yTicks = roundTicks(yLow, yHigh, Math.max(2, Math.round(height / 60)));
  const longestTick = Math.max(0, ...yTicks.map((tick) => tickText(tick).length));
  const longestName = Math.max(0, ...series.map(({ name }) => name.length));
  const left = 10 + 7 * longestTick;
  const right = WIDTH - Math.min(200, 14 + GLYPH * longestName);
  const [top, bottom] = [48, height - 40];
  return {
    left,
    right,
    top,
    bottom,
    xTicks: roundTicks(xLow, xHigh, 6).filter((tick) => !isWhole || Number.isInteger(tick)),
    yTicks,
    x: (value) => left + ((value - xLow) / (xHigh - xLow)) * (right - left),
    y: (value) => bottom - ((value - yLow) / (yHigh - yLow)) * (bottom - top),
  };
}

function axes({ left, right, bottom, xTicks, yTicks, x, y }: Frame, xLabel: string): string[] {
  const horizontal = yTicks.flatMap((tick) => [
    line([left, y(tick)], [right, y(tick)], "grid"),
    text([left - 8, y(tick) + 4], tickText(tick), { fill: "muted", anchor: "end" }),
  ]);
  const vertical = xTicks.flatMap((tick) => [
    line([x(tick), bottom], [x(tick), bottom + 4], "muted"),
    text([x(tick), bottom + 18], tickText(tick), { fill: "muted", anchor: "middle" }),
  ]);
  return [
    ...horizontal,
    ...vertical,
    line([left, bottom], [right, bottom], "muted"),
    text([(left + right) / 2, bottom + 36], xLabel, { fill: "muted", anchor: "middle" }),
  ];
}

function drawSeries({ points, dashed, scattered }: Series, i: number, frame: Frame): string[] {
  const runs = scattered === true ? points.filter(isFinitePoint).map((point) => [point]) : finiteRuns(points);
  const place = ([px, py]: Point): Point => [frame.x(px), frame.y(py)];
  return runs.map((run) =>
    run.length === 1
      ? dot(i, place(run[0]!))
      : stroke(i, dashed, `M${run.map((point) => place(point).map(num).join(" ")).join("L")}`),
  );
}

function dot(i: number, [x, y]: Point): string {
  return `<circle cx="${num(x)}" cy="${num(y)}" r="3" fill="${colour(i)}"/>`;
}

function stroke(i: number, dashed: boolean | undefined, path: string): string {
  const dashes = dashed === true ? ' stroke-dasharray="6 5"' : "";
  return `<path d="${path}" stroke="${colour(i)}" stroke-width="2"${dashes} stroke-linejoin="round"/>`;
}

/** Names above the chart, where a narrow screen that shows only its left part has them too. */
function legend(series: readonly Series[], from: number): string[] {
  if (series.length < 2) return [];
  let x = from;
  return series.flatMap(({ name, dashed, scattered }, i) => {
    const [start, end]: [Point, Point] = [
      [x, 32],
      [x + 20, 32],
    ];
    x += 44 + GLYPH * name.length;
    return [
      scattered === true
        ? dot(i, [start[0] + 10, 32])
        : stroke(i, dashed, `M${start.join(" ")}L${end.join(" ")}`),
      text([end[0] + 6, 36], name, { fill: "muted" }),
    ];
  });
}

/** Names at the ends of their lines, moved apart where they would overlap. */
function labels(series: readonly Series[], frame: Frame): string[] {
  const ends = series.flatMap(({ name, points }, i) => {
    const last = points.findLast(isFinitePoint);
    return last === undefined ? [] : [{ name, i, at: frame.y(last[1]), y: frame.y(last[1]) }];
  });
  ends.sort((a, b) => a.at - b.at);
  for (const [k, end] of ends.entries()) {
    if (k > 0) end.y = Math.max(end.y, ends[k - 1]!.y + 15);
  }
  const overflow = Math.max(0, (ends.at(-1)?.y ?? 0) - frame.bottom);
  return ends.map(({ name, i, y }) =>
    text([frame.right + 8, y - overflow + 4], name, { fill: colour(i), extra: ' font-weight="600"' }),
  );
}

function text(
  [x, y]: Point,
  content: string,
  {
    fill,
    anchor = "start",
    extra = "",
  }: { fill: string; anchor?: "start" | "middle" | "end"; extra?: string },
): string {
  const paint = fill === "ink" || fill === "muted" ? ink[fill] : fill;
  return `<text x="${num(x)}" y="${num(y)}" fill="${paint}" text-anchor="${anchor}"${extra}>${escapeMarkup(content)}</text>`;
}

const ink = {
  ink: "var(--ink, currentColor)",
  muted: "var(--muted, #7a7a7a)",
  grid: "var(--grid, #8883)",
} as const;

function line([x1, y1]: Point, [x2, y2]: Point, stroke: keyof typeof ink): string {
  return `<line x1="${num(x1)}" y1="${num(y1)}" x2="${num(x2)}" y2="${num(y2)}" stroke="${ink[stroke]}"/>`;
}

function colour(i: number): string {
  const k = i % seriesColours.length;
  return `var(--series-${k + 1}, ${seriesColours[k]})`;
}

/** Differences of numbers near the largest would overflow: those count as infinite. */
function isFinitePoint([x, y]: Point): boolean {
  return Math.abs(x) < 1e300 && Math.abs(y) < 1e300;
}

function finiteRuns(points: readonly Point[]): Point[][] {
  const runs: Point[][] = [[]];
  for (const point of points) {
    if (isFinitePoint(point)) runs.at(-1)!.push(point);
    else runs.push([]);
  }
  return runs.filter(({ length }) => length > 0);
}

function extremes(points: readonly Point[], from: number, to: number): Point[] {
  if (from >= to) return [];
  let [least, greatest] = [from, from];
  for (let k = from; k < to; k += 1) {
    if (points[k]![1] < points[least]![1]) least = k;
    if (points[k]![1] > points[greatest]![1]) greatest = k;
  }
  const indices = least === greatest ? [least] : [Math.min(least, greatest), Math.max(least, greatest)];
  return indices.map((k) => points[k]!);
}

type Range = readonly [low: number, high: number];

function extent(values: readonly number[]): Range {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  return low > high ? [0, 1] : [low, high];
}

/** A twentieth of room above and below, so that no line lies on the frame. */
function padded([low, high]: Range): Range {
  const room = (high - low) / 20;
  return [low >= 0 ? Math.max(0, low - room) : low - room, high + room];
}

/** A range has a length, whatever its only value is. */
function widened([low, high]: Range): Range {
  if (high - low > Math.max(1e-290, Math.abs(low) * 1e-9, Math.abs(high) * 1e-9)) return [low, high];
  const room = Math.abs(low) < 1e-280 ? 1 : Math.abs(low) / 10;
  return [low - room, high + room];
}

function roundStep(step: number): number {
  const power = 10 ** Math.floor(Math.log10(step));
  const digit = step / power;
  // The nearest by ratio: the bounds are geometric means.
  return power * (digit < Math.SQRT2 ? 1 : digit < Math.sqrt(10) ? 2 : digit < Math.sqrt(50) ? 5 : 10);
}

function tidy(value: number): number {
  return Number(value.toPrecision(12));
}

function tickText(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e15)) return value.toExponential().replace("e+", "e");
  for (const [unit, name] of [
    [1e12, "T"],
    [1e9, "B"],
    [1e6, "M"],
    [1e4, "K"],
  ] as const) {
    if (size >= unit) return `${tidy(value / (unit === 1e4 ? 1e3 : unit))}${name}`;
  }
  return String(value);
}

/** Tenths of a pixel are enough. */
function num(value: number): string {
  return String(Math.round(value * 10) / 10);
}
