import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { reportHtml, type Report } from "../../src/train/report.ts";
import {
  downsample,
  escapeMarkup,
  lineChart,
  roundTicks,
  type LineChart,
  type Point,
} from "../../src/train/svg-chart.ts";

const chart: LineChart = {
  title: "Loss",
  series: [
    {
      name: "training",
      points: [
        [0, 4],
        [10, 2],
        [20, 1],
      ],
    },
    {
      name: "5-gram",
      points: [
        [0, 3],
        [20, 3],
      ],
      dashed: true,
    },
  ],
  xLabel: "step",
  yLabel: "nats per token",
};

const nasty = `<img src=x onerror="alert('1')">&`;
const escaped = "&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;";

function texts(svg: string): string[] {
  return [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, text]) => text!);
}

/** y of every vertex of the series' paths, in the order of the series. Legend strokes are skipped. */
function vertices(svg: string): number[][] {
  return [...svg.matchAll(/<path d="M([^"]+)"/g)]
    .map(([, path]) => path!.split("L").map((pair) => Number(pair.split(" ")[1])))
    .filter((ys) => ys.some((y) => y !== 32));
}

describe("round ticks", () => {
  test("are 1, 2 or 5 times a power of ten", () => {
    expect(roundTicks(0, 10, 5)).toEqual([0, 2, 4, 6, 8, 10]);
    expect(roundTicks(0.13, 0.94, 4)).toEqual([0.2, 0.4, 0.6, 0.8]);
    expect(roundTicks(-7, 12, 4)).toEqual([-5, 0, 5, 10]);
    expect(roundTicks(0, 3e-4, 3)).toEqual([0, 1e-4, 2e-4, 3e-4]);
  });

  test("lie within the range and are about as many as asked for", () => {
    const range = fc.tuple(
      fc.double({ min: -1e6, max: 1e6, noNaN: true }),
      fc.double({ min: 1e-3, max: 1e6, noNaN: true }),
    );
    fc.assert(
      fc.property(range, fc.integer({ min: 2, max: 10 }), ([low, width], count) => {
        const ticks = roundTicks(low, low + width, count);
        expect(ticks.length).toBeLessThanOrEqual(1.75 * count + 1);
        expect(ticks.length).toBeGreaterThanOrEqual(Math.floor(0.7 * count));
        const slack = 1e-6 * (Math.abs(low) + width);
        expect(ticks.every((tick) => tick >= low - slack && tick <= low + width + slack)).toBe(true);
      }),
    );
  });
});

describe("down-sampling", () => {
  test("leaves few points alone", () => {
    const points: Point[] = [
      [0, 1],
      [1, Number.NaN],
      [2, 3],
    ];
    expect(downsample(points, 3)).toBe(points);
  });

  test("keeps both ends, the highest and the lowest point and the order, within the limit", () => {
    const series = fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 11, maxLength: 400 });
    fc.assert(
      fc.property(series, fc.integer({ min: 10, max: 60 }), (ys, most) => {
        const points = ys.map((y, x): Point => [x, y]);
        const kept = downsample(points, most);
        expect(kept.length).toBeLessThanOrEqual(most);
        expect(kept[0]).toEqual(points[0]);
        expect(kept.at(-1)).toEqual(points.at(-1));
        expect(Math.max(...kept.map(([, y]) => y))).toBe(Math.max(...ys));
        expect(Math.min(...kept.map(([, y]) => y))).toBe(Math.min(...ys));
        expect(kept.every(([x], i) => i === 0 || x > kept[i - 1]![0])).toBe(true);
      }),
    );
  });

  test("a chart of a hundred thousand steps has at most 600 vertices and still its spike", () => {
    const points = Array.from({ length: 100_000 }, (_, x): Point => [x, x === 54_321 ? 9 : 1]);
    const svg = lineChart({ ...chart, series: [{ name: "loss", points }] });
    const [ys] = vertices(svg);
    expect(ys!.length).toBeLessThanOrEqual(600);
    expect(new Set(ys).size).toBe(2);
    expect(svg.length).toBeLessThan(20_000);
  });
});

describe("a line chart", () => {
  test("says what it shows: title, axes, ticks and the names of the series", () => {
    const shown = texts(lineChart(chart));
    expect(shown).toEqual(expect.arrayContaining(["Loss", "step", "nats per token", "training", "5-gram"]));
    expect(shown).toEqual(expect.arrayContaining(["0", "5", "10", "15", "20", "1", "2", "3", "4"]));
  });

  test("draws greater values higher, to scale", () => {
    const [training] = vertices(lineChart(chart));
    const [four, two, one] = training!;
    expect(two! - four!).toBeCloseTo(2 * (one! - two!), 0);
    expect(four!).toBeLessThan(two!);
  });

  test("dashes what is asked to be dashed, and nothing else", () => {
    expect([...lineChart(chart).matchAll(/stroke-dasharray/g)]).toHaveLength(2);
    expect(lineChart({ ...chart, series: chart.series.slice(0, 1) })).not.toContain("stroke-dasharray");
  });

  test("draws a dot for each point of what is no course, and no line", () => {
    const points: Point[] = [
      [0, 1],
      [1, 2],
      [1, 3],
    ];
    const drawn = lineChart({ ...chart, series: [{ name: "gain", points, scattered: true }] });
    expect([...drawn.matchAll(/<circle /g)]).toHaveLength(3);
    expect(vertices(drawn)).toHaveLength(0);
  });

  test("breaks the line where a loss was not finite", () => {
    const points: Point[] = [
      [0, 1],
      [1, 2],
      [2, Number.NaN],
      [3, 2],
      [4, 1],
    ];
    expect(vertices(lineChart({ ...chart, series: [{ name: "loss", points }] }))).toHaveLength(2);
  });

  test("draws one point as a dot, and a flat line within its frame", () => {
    expect(lineChart({ ...chart, series: [{ name: "loss", points: [[3, 0]] }] })).toContain("<circle");
    const [flat] = vertices(
      lineChart({
        ...chart,
        series: [
          {
            name: "loss",
            points: [
              [0, 5],
              [1, 5],
            ],
          },
        ],
      }),
    );
    expect(flat!.every((y) => y > 48 && y < 260)).toBe(true);
  });

  test("without points says so, and has no NaN in it", () => {
    const svg = lineChart({ ...chart, series: [{ name: "loss", points: [] }] });
    expect(texts(svg)).toContain("nothing measured yet");
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  test("marks whole numbers only where there is nothing between them", () => {
    const versions = (...xs: number[]): string[] =>
      texts(
        lineChart({ ...chart, series: [{ name: "score", points: xs.map((x) => [x, 10 + x] as const) }] }),
      ).filter((shown) => Number(shown) < 10);
    expect(versions(0, 1, 2)).toEqual(["0", "1", "2"]);
    expect(versions(0, 0.5, 2)).toEqual(["0", "0.5", "1", "1.5", "2"]);
  });

  test("puts names apart where lines end together", () => {
    const series = ["a", "b", "c"].map((name) => ({
      name,
      points: [
        [0, 0],
        [1, 1],
      ] as const,
    }));
    const svg = lineChart({ ...chart, series });
    const ys = [...svg.matchAll(/y="([\d.]+)"[^>]*font-weight="600">[abc]</g)].map(([, y]) => Number(y));
    expect(ys[1]! - ys[0]!).toBeCloseTo(15, 5);
    expect(ys[2]! - ys[1]!).toBeCloseTo(15, 5);
  });

  test("escapes every text of its own", () => {
    const svg = lineChart({
      title: nasty,
      xLabel: nasty,
      yLabel: nasty,
      series: [{ name: nasty, points: [[0, 1]] }],
    });
    expect(svg).not.toContain("<img");
    expect(svg.split(escaped)).toHaveLength(1 + 6);
  });

  test("has numbers only where numbers belong, whatever the points", () => {
    const point = fc.tuple(fc.double(), fc.double());
    fc.assert(
      fc.property(fc.array(point, { maxLength: 20 }), (points) => {
        const svg = lineChart({ ...chart, series: [{ name: "x", points }] });
        expect(svg.replace(/<title>.*?<\/title>/, "")).not.toMatch(/NaN|Infinity|undefined/);
      }),
    );
  });
});

describe("the report", () => {
  const report: Report = {
    title: "Cria speedrun",
    summary: [["Parameters", "5.4 M"]],
    stages: [
      {
        name: "Pretraining",
        paperSection: "§2.2",
        charts: [chart],
        settings: [["lr", "0.001"]],
        notes: ["On public-domain text."],
        table: {
          head: ["model", "bits per byte"],
          rows: [
            ["5-gram", "2.07"],
            ["Cria", "1.79"],
          ],
        },
      },
      { name: "Fine-tuning", paperSection: "§3.1", charts: [], settings: [], notes: [] },
    ],
    samples: [{ name: "The model answers", samples: [{ prompt: "Who are you?", text: "I am Cria." }] }],
  };

  test("holds everything that it was given, in order", () => {
    const html = reportHtml(report);
    const order = [
      "Cria speedrun",
      "Parameters",
      "5.4 M",
      "Pretraining",
      "Llama 2 §2.2",
      "On public-domain text.",
      "<svg",
      "5-gram",
      "2.07",
      "lr",
      "0.001",
      "Llama 2 §3.1",
      "The model answers",
      "Who are you?",
      "I am Cria.",
    ];
    let from = html.indexOf("<body>");
    for (const part of order) {
      const at = html.indexOf(part, from);
      expect(at, part).toBeGreaterThan(from);
      from = at;
    }
  });

  test("needs nothing but itself: no script, no link to a file, no address", () => {
    const html = reportHtml(report).replaceAll('xmlns="http://www.w3.org/2000/svg"', "");
    expect(html).not.toMatch(/<script|<link|<img|@import|url\(|https?:/i);
  });

  test("every link leads to a part of it", () => {
    const html = reportHtml(report);
    const targets = [...html.matchAll(/href="#([^"]+)"/g)].map(([, id]) => id!);
    expect(targets).toHaveLength(3);
    for (const id of targets) expect(html).toContain(`id="${id}"`);
  });

  test("escapes every text, wherever it stands", () => {
    const html = reportHtml({
      title: nasty,
      summary: [[nasty, nasty]],
      stages: [
        {
          name: nasty,
          paperSection: nasty,
          charts: [],
          settings: [[nasty, nasty]],
          notes: [nasty],
          table: { head: [nasty], rows: [[nasty]] },
        },
      ],
      samples: [{ name: nasty, samples: [{ prompt: nasty, text: nasty }] }],
    });
    expect(html).not.toContain("<img");
    // Twice the title, twice the stage's name, and once the rest.
    expect(html.split(escaped)).toHaveLength(1 + 2 + 2 + 2 + 1 + 2 + 1 + 2 + 3);
  });

  test("a column of numbers is aligned to the right, and one of names is not", () => {
    const html = reportHtml(report);
    expect(html).toContain('<td>5-gram</td><td class="number">2.07</td>');
    expect(html).toContain('<th scope="col">model</th><th scope="col" class="number">bits per byte</th>');
  });

  test("a number may be missing and keeps with its unit; a hash is no number though digits begin it", () => {
    const rows = [
      ["10.8 MB", "099846bc806f"],
      ["none", "1e57"],
      ["88.0% (84.5% to 91.0%)", "7"],
    ];
    const stage = { name: "S", paperSection: "", charts: [], settings: [], notes: [] };
    const table = { head: ["text", "commit"], rows };
    const html = reportHtml({ title: "T", summary: [], stages: [{ ...stage, table }], samples: [] });
    expect(html).toContain('<th scope="col" class="number">text</th><th scope="col">commit</th>');
    expect(html).toContain('<td class="number">none</td><td>1e57</td>');
    expect(html).toContain('<td class="number">10.8\u00A0MB</td>');
    expect(html).toContain('<td class="number">88.0% (84.5%\u00A0to\u00A091.0%)</td>');
  });

  test("with nothing in it is still a page", () => {
    const empty = [{ name: "Nobody", samples: [] }];
    const html = reportHtml({ title: "Empty", summary: [], stages: [], samples: empty });
    expect(html).toContain("<h1>Empty</h1>");
    expect(html).not.toMatch(/<dl|<nav|<section/);
  });

  test("escaped text has no character that XML lacks", () => {
    expect(escapeMarkup("a\u0000b\u001Bc\td\n")).toBe("a\uFFFDb\uFFFDc\td\n");
  });
});
