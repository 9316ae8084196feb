/**
 * The report of a run: one HTML file that needs nothing else. No scripts, no fonts, no network; light and dark by
 * the reader's preference, for paper and for a phone too. Every text that comes from outside is escaped.
 */

import { escapeMarkup, lineChart, seriesColours, type LineChart } from "./svg-chart.ts";
import { heatMap, type HeatMap } from "./svg-heat-map.ts";
import { histogram, type Histogram } from "./svg-histogram.ts";

/** A name and a value, as the reader sees them. */
export type Entry = readonly [name: string, value: string];

export interface ReportTable {
  readonly head: readonly string[];
  /** A column of numbers, some of which may be missing, is aligned to the right. */
  readonly rows: readonly (readonly string[])[];
}

export interface ReportStage {
  readonly name: string;
  /** Such as "§2.2". */
  readonly paperSection: string;
  readonly charts: readonly LineChart[];
  readonly histograms?: readonly Histogram[];
  readonly heatMaps?: readonly HeatMap[];
  readonly settings: readonly Entry[];
  /** Paragraphs. */
  readonly notes: readonly string[];
  readonly table?: ReportTable;
}

export interface Sample {
  readonly prompt: string;
  readonly text: string;
}

/** Samples of one model, or of the same models. */
export interface SampleGroup {
  readonly name: string;
  readonly samples: readonly Sample[];
}

export interface Report {
  readonly title: string;
  /** The few numbers that a reader wants first. */
  readonly summary: readonly Entry[];
  readonly stages: readonly ReportStage[];
  readonly samples: readonly SampleGroup[];
}

/** A whole HTML document. */
export function reportHtml({ title, summary, stages, ...rest }: Report): string {
  const samples = rest.samples.filter((group) => group.samples.length > 0);
  const sections = stages.map(stageSection);
  if (samples.length > 0) sections.push(sampleSection(samples, stages.length + 1));
  const names = [...stages.map(({ name }) => name), ...(samples.length === 0 ? [] : [SAMPLES])];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeMarkup(title)}</title>
<style>${CSS}</style>
</head>
<body>
<header>
<h1>${escapeMarkup(title)}</h1>
${summary.length === 0 ? "" : `<dl class="summary">${summary.map(summaryEntry).join("")}</dl>`}
${names.length < 2 ? "" : `<nav aria-label="Contents">${names.map(contentsEntry).join(" ")}</nav>`}
</header>
<main>
${sections.join("\n")}
</main>
</body>
</html>
`;
}

// --- internal ---

const SAMPLES = "Samples";

function summaryEntry([name, value]: Entry): string {
  return `<div><dt>${escapeMarkup(name)}</dt><dd>${escapeMarkup(value)}</dd></div>`;
}

function contentsEntry(name: string, i: number): string {
  return `<a href="#part-${i + 1}">${escapeMarkup(name)}</a>`;
}

function stageSection(stage: ReportStage, i: number): string {
  const { name, paperSection, charts, histograms = [], heatMaps = [], settings, notes, table } = stage;
  const parts = [
    `<section id="part-${i + 1}">`,
    `<h2>${escapeMarkup(name)}${paperSection === "" ? "" : ` <small>Llama 2 ${escapeMarkup(paperSection)}</small>`}</h2>`,
    ...notes.map((note) => `<p>${escapeMarkup(note)}</p>`),
    ...charts.map((chart) => `<figure>${lineChart(chart)}</figure>`),
    ...histograms.map((counts) => `<figure>${histogram(counts)}</figure>`),
    ...heatMaps.map((map) => `<figure>${heatMap(map)}</figure>`),
    table === undefined ? "" : tableElement(table),
    settings.length === 0
      ? ""
      : `<h3>Settings</h3>\n<dl class="settings">${settings.map(summaryEntry).join("")}</dl>`,
    "</section>",
  ];
  return parts.filter((part) => part !== "").join("\n");
}

function tableElement({ head, rows }: ReportTable): string {
  const right = head.map((_, i) => isNumeric(rows.map((row) => row[i] ?? "")));
  const numeric = (i: number): string => (right[i] === true ? ' class="number"' : "");
  const heads = head.map((text, i) => `<th scope="col"${numeric(i)}>${escapeMarkup(text)}</th>`);
  const body = rows.map((row) => {
    const cells = row.map((text, i) => {
      const shown = right[i] === true ? withUnit(text) : text;
      return `<td${numeric(i)}>${escapeMarkup(shown)}</td>`;
    });
    return `<tr>${cells.join("")}</tr>`;
  });
  return (
    `<div class="wide"><table><thead><tr>${heads.join("")}</tr></thead>` +
    `<tbody>${body.join("")}</tbody></table></div>`
  );
}

/** A number ends before what else a cell says: a hash that begins with digits is none. */
function isNumeric(cells: readonly string[]): boolean {
  const present = cells.filter((cell) => cell !== "" && cell !== "none");
  return present.length > 0 && present.every((cell) => /^[-+−]?\d+(\.\d+)?(%|\s|$)/.test(cell));
}

/** A narrow column breaks "58.1% (52.7% to 63.7%)" before its interval only, and "10.8 MB" nowhere. */
function withUnit(number: string): string {
  return number.replaceAll(/ (?!\()/g, "\u00A0");
}

function sampleSection(groups: readonly SampleGroup[], part: number): string {
  const items = groups.flatMap(({ name, samples }) => [
    `<h3>${escapeMarkup(name)}</h3>`,
    ...samples.map(
      ({ prompt, text }) =>
        `<blockquote><p class="prompt">${escapeMarkup(prompt)}</p>` +
        `<p class="answer">${escapeMarkup(text)}</p></blockquote>`,
    ),
  ]);
  return `<section id="part-${part}">\n<h2>${SAMPLES}</h2>\n${items.join("\n")}\n</section>`;
}

const colourVariables = seriesColours.map((colour, i) => `--series-${i + 1}:${colour};`).join("");

const CSS = `
:root{--paper:#fff;--ink:#1c2127;--muted:#646d78;--grid:#e4e7eb;--card:#f6f7f9;--accent:#2f6fb8;${colourVariables}}
@media (prefers-color-scheme:dark){:root{--paper:#15181c;--ink:#e4e7eb;--muted:#98a2ad;--grid:#2c3239;--card:#1d2126;--accent:#7db2ee}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:54rem;padding:2.5rem 1.25rem 4rem;background:var(--paper);color:var(--ink);
font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;overflow-wrap:break-word}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 1.25rem;letter-spacing:-.01em}
h2{font-size:1.3rem;margin:0 0 .75rem}
h2 small{font-size:.8rem;font-weight:500;color:var(--muted);white-space:nowrap;margin-left:.4rem}
h3{font-size:.8rem;text-transform:uppercase;letter-spacing:.06em;color:var(--muted);margin:1.5rem 0 .5rem}
p{margin:0 0 .75rem;max-width:44rem}
section{margin-top:3rem;padding-top:2rem;border-top:1px solid var(--grid)}
dl,dd{margin:0}
dt{color:var(--muted);font-size:.82rem}
.summary{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.75rem}
.summary>div{background:var(--card);border-radius:.5rem;padding:.75rem 1rem}
.summary dd{font-size:1.25rem;font-weight:600;font-variant-numeric:tabular-nums}
.settings{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(20rem,100%),1fr));gap:.15rem 2rem}
.settings>div{display:flex;justify-content:space-between;gap:1rem;border-bottom:1px solid var(--grid);padding:.2rem 0}
.settings dt{flex:none;max-width:65%}
.settings dd{min-width:0;font-size:.88rem;font-variant-numeric:tabular-nums;text-align:right}
nav{margin-top:1.25rem;display:flex;flex-wrap:wrap;gap:.25rem 1.25rem}
a{color:var(--accent);text-decoration:none}
a:hover,a:focus-visible{text-decoration:underline}
figure{margin:1.5rem 0;overflow-x:auto}
.chart{display:block;min-width:32rem}
.wide{overflow-x:auto;margin:1.25rem 0}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{text-align:left;padding:.4rem .75rem .4rem 0;border-bottom:1px solid var(--grid);vertical-align:top}
th{color:var(--muted);font-weight:500;font-size:.82rem}
.number{text-align:right;font-variant-numeric:tabular-nums}
th:last-child,td:last-child{padding-right:0}
blockquote{margin:0 0 1rem;background:var(--card);border-radius:.5rem;padding:.9rem 1.1rem}
.prompt{color:var(--muted);font-size:.92rem;margin-bottom:.4rem;white-space:pre-wrap}
.answer{margin:0;white-space:pre-wrap}
@media print{body{max-width:none;padding:0;font-size:10pt}nav{display:none}section{break-inside:auto}
figure,blockquote,tr{break-inside:avoid}.chart{min-width:0}
:root{--paper:#fff;--ink:#000;--muted:#444;--grid:#bbb;--card:#fff}.summary>div,blockquote{border:1px solid #bbb}}
`;
