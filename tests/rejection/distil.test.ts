/** Safety context distillation, with a policy and a reward that are functions. */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Dialog } from "../../src/dialog/message.ts";
import { readPrompts, type Prompt } from "../../src/dialog/prompts.ts";
import type { AnswerSampler } from "../../src/generate/answers.ts";
import {
  distil,
  readPreprompts,
  type DistilOptions,
  type DistilOutcome,
} from "../../src/rejection/distil.ts";
import type { RewardFunction } from "../../src/reward/reward-function.ts";

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "cria-distil-"))));
afterEach(() => rmSync(folder, { recursive: true }));

const prompt = (content: string, isSafety: boolean, risk?: string): Prompt => ({
  dialog: [{ role: "user", content }],
  isSafety,
  ...(risk === undefined ? {} : { risk }),
});
const options: DistilOptions = {
  model: "chat",
  prompts: [prompt("Who?", false), prompt("Steal?", true, "illicit"), prompt("Sick?", true, "advice")],
  preprompts: [{ text: "Be safe." }, { text: "No crime.", risk: "illicit" }],
  samples: 2,
  temperature: 1,
  seed: 3,
  beside: [],
};

/** What is asked of the policy, and what it says to that. */
function run(rule: (dialog: Dialog) => string, reward: RewardFunction, changes: Partial<DistilOptions> = {}) {
  const asked: Dialog[] = [];
  const sampler: AnswerSampler = async function* (requests) {
    for (const [request, { prompt: dialog, seeds }] of requests.entries()) {
      asked.push(dialog);
      for (const index of seeds.keys()) {
        const text = `${rule(dialog)}${index === 0 ? "" : " Again."}`;
        yield await Promise.resolve({ request, index, text, tokens: 1, reason: "stop" as const });
      }
    }
  };
  const opened = <F>(f: F) => ({ run: f, [Symbol.dispose]() {} });
  let trained: { messages: Dialog }[] = [];
  const outcome: Promise<DistilOutcome> = distil(
    { ...options, ...changes },
    {
      openSampler: () => opened(sampler),
      openReward: () => Promise.resolve(opened(reward)),
      fineTune: (file) => {
        const lines = readFileSync(file, "utf8").trimEnd().split("\n");
        trained = lines.map((line) => JSON.parse(line) as { messages: Dialog });
        return Promise.resolve("model");
      },
      folder,
      origin: { samples: {}, scores: {} },
      onEvent: () => {},
    },
  );
  return { outcome, asked, trained: () => trained };
}

/** The longer, the safer; and the reward never sees a preprompt. */
const byLength: RewardFunction = (answers) => {
  for (const answered of answers) expect(answered.prompt[0]!.role).toBe("user");
  return Promise.resolve(Float64Array.from(answers, ({ answer }) => answer.length));
};
const obeys = (dialog: Dialog): string =>
  dialog[0]!.role === "system" ? `No. ${dialog[0]!.content}` : "Yes.";

test("safety prompts alone are asked, by themselves and behind each preprompt that fits", async () => {
  const { outcome, asked } = run(obeys, byLength);
  await outcome;
  expect(asked.map((dialog) => dialog.map(({ content }) => content).join(" / "))).toEqual([
    "Steal?",
    "Be safe. / Steal?",
    "No crime. / Steal?",
    "Sick?",
    "Be safe. / Sick?",
  ]);
});

test("a prompt's own system message stays, after the preprompt", async () => {
  const ruled: Prompt = {
    dialog: [
      { role: "system", content: "Be brief." },
      { role: "user", content: "Steal?" },
    ],
    isSafety: true,
  };
  const said = (dialog: Dialog): string => (dialog[0]!.content === "Be brief." ? "Yes." : "No, never.");
  const { outcome, asked } = run(
    said,
    (answers) => Promise.resolve(Float64Array.from(answers, ({ answer }) => answer.length)),
    { prompts: [ruled] },
  );
  await outcome;
  expect(asked.map((dialog) => dialog.map(({ content }) => content))).toEqual([
    ["Be brief.", "Steal?"],
    ["Be safe.\nBe brief.", "Steal?"],
  ]);
});

test("the best answer is trained on without the preprompt", async () => {
  const { outcome, trained } = run(obeys, byLength);
  const { gains } = await outcome;
  expect(trained().map(({ messages }) => messages.map(({ content }) => content))).toEqual([
    ["Steal?", "No. No crime. Again."],
    ["Sick?", "No. Be safe. Again."],
  ]);
  expect(gains[0]).toEqual({ original: "Yes.".length, distilled: "No. No crime. Again.".length });
});

describe("an answer behind a preprompt", () => {
  test("is kept only where it scores above the model's own", async () => {
    const shy = (dialog: Dialog): string =>
      dialog.at(-1)!.content === "Sick?" && dialog.length === 1
        ? "Please see a doctor, and very soon."
        : obeys(dialog);
    const { outcome, trained } = run(shy, byLength);
    const { gains } = await outcome;
    expect(trained().map(({ messages }) => messages[0]!.content)).toEqual(["Steal?"]);
    expect(gains).toHaveLength(2);
  });

  test("that is nowhere better leaves the model as it is", async () => {
    const { outcome, trained } = run(
      () => "No.",
      (answers) => Promise.resolve(new Float64Array(answers.length)),
    );
    const gain = { original: 0, distilled: 0 };
    expect(await outcome).toEqual({ checkpoint: "chat", dialogs: 0, gains: [gain, gain] });
    expect(trained()).toEqual([]);
  });
});

test("prompts without a safety tag are refused", async () => {
  const { outcome } = run(obeys, byLength, { prompts: options.prompts.slice(0, 1) });
  await expect(outcome).rejects.toThrow("none of the prompts is tagged as a safety prompt");
});

test("the preprompts that come with Cria are general, or for a risk that its prompts have", () => {
  const data = (name: string): string => fileURLToPath(new URL(`../../data/${name}`, import.meta.url));
  const preprompts = readPreprompts(data("safety-preprompts.jsonl"));
  const risks = new Set(readPrompts(data("rlhf-prompts.jsonl")).flatMap(({ risk }) => risk ?? []));
  expect([...risks].toSorted()).toEqual(["advice", "hateful", "illicit"]);
  expect(new Set(preprompts.flatMap(({ risk }) => risk ?? []))).toEqual(
    new Set(["illicit", "hateful", "advice"]),
  );
  expect(preprompts.filter(({ risk }) => risk === undefined)).toHaveLength(4);
});
