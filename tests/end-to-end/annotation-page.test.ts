/** The annotation page in a real Chromium, before a real server that is killed as it likes. */

import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import axe from "axe-core";
import { chromium, type Browser, type BrowserContextOptions, type Page } from "playwright-core";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { embeddedFolder } from "../preference/databases.ts";

const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(
  (path) => existsSync(path),
);

if (executablePath === undefined) test.skip("the annotation page (no Chromium here)", () => {});
else describe("the annotation page", () => pageTests(executablePath));

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

/** Waits until an expression holds in the page; by the debugger, since the page's policy lets it evaluate nothing. */
async function until(page: Page, expression: string): Promise<void> {
  await expect.poll(() => page.evaluate(expression), { timeout: 60_000 }).toBe(true);
}

interface Server {
  readonly child: ChildProcess;
  readonly url: string;
  readonly lead?: string;
  readonly ann?: string;
  readonly bob?: string;
}

async function startServer(store: string, pages: string, port: number): Promise<Server> {
  const words = ["--import", "tsx", path("annotation-server.ts"), store, pages, String(port)];
  const child = spawn(process.execPath, words, { stdio: ["ignore", "pipe", "pipe"] });
  let complaints = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    complaints += text;
  });
  const line = await new Promise<string>((said, fail) => {
    child.stdout.setEncoding("utf8").once("data", said);
    child.once("exit", () => fail(new Error(complaints)));
  });
  return { child, ...(JSON.parse(line) as Omit<Server, "child">) };
}

async function kill({ child }: Server): Promise<void> {
  const ended = new Promise((done) => child.once("exit", done));
  child.kill("SIGKILL");
  await ended;
}

function pageTests(executable: string): void {
  let folder: string;
  let server: Server;
  let browser: Browser;
  let first: Server;
  let restart: () => Promise<void>;
  const foreign: string[] = [];

  beforeAll(async () => {
    folder = await embeddedFolder();
    const pages = join(folder, "pages");
    await build({ root: path("../../web"), logLevel: "error", build: { outDir: pages } });
    const store = join(folder, "store");
    server = first = await startServer(store, pages, 0);
    restart = async () => {
      server = await startServer(store, pages, Number(new URL(first.url).port));
    };
    browser = await chromium.launch({ executablePath: executable, args: ["--no-sandbox"] });
  }, 600_000);
  afterAll(async () => {
    await browser?.close();
    if (server !== undefined) await kill(server);
    rmSync(folder, { recursive: true, force: true });
  });

  const signIn = async (token: string | undefined, options: BrowserContextOptions = {}): Promise<Page> => {
    const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options });
    const page = await context.newPage();
    page.on("request", (request) => {
      if (!request.url().startsWith(first.url)) foreign.push(request.url());
    });
    page.setDefaultTimeout(60_000);
    await page.goto(`${first.url}/annotate/#${token}`);
    return page;
  };
  const pick = { left: "1", right: "2" } as const;
  const strengthKeys = { significantly: "a", better: "s", slightly: "d", negligibly: "f" } as const;
  const safetyKeys = { "chosen-safe": "j", "both-safe": "k", "both-unsafe": "l" } as const;

  interface Clicked {
    readonly question: string;
    readonly chosen: string;
    readonly rejected: string;
    readonly strength: keyof typeof strengthKeys;
    readonly safety: keyof typeof safetyKeys;
  }

  /** Waits for what is to be done next; writes and asks where it is a prompt. */
  const answer = async (page: Page, text: string): Promise<void> => {
    await page.waitForSelector("#prompt:enabled, .answers");
    if (await page.$("#prompt")) {
      await page.fill("#prompt", text);
      await page.keyboard.press("Control+Enter");
    }
    await page.waitForSelector(".deciding");
  };
  /** Decides by keys, and says what it decided of what it saw. */
  const decide = async (
    page: Page,
    better: "left" | "right",
    [strength, safety]: [Clicked["strength"], Clicked["safety"]],
  ): Promise<Clicked> => {
    const texts = await page.locator(".answer .text").allTextContents();
    const question = await page.locator(".turns .user p").last().textContent();
    for (const key of [pick[better], strengthKeys[strength], safetyKeys[safety]])
      await page.keyboard.press(key);
    const [chosen, rejected] = better === "left" ? texts : texts.toReversed();
    return { question: question!, chosen: chosen!, rejected: rejected!, strength, safety };
  };
  const comparisons = (page: Page): Promise<string | null> =>
    page.locator(".progress dd").first().textContent();
  const counted = (page: Page, count: number): Promise<void> =>
    until(page, `document.querySelector(".progress dd")?.textContent === "${count}"`);

  const clicked: Clicked[] = [];
  let exported: Record<string, unknown>[] = [];

  test("two annotators at once; what is exported is what they clicked", async () => {
    const [ann, bob] = await Promise.all([signIn(first.ann), signIn(first.bob)]);
    // The invitation leaves the address, and no script sees the session.
    await ann.waitForSelector("#prompt");
    expect(ann.url()).toBe(`${first.url}/annotate/`);
    expect(await ann.evaluate("document.cookie")).toBe("");
    const annotate = async (page: Page, name: string): Promise<void> => {
      const choices = [
        ["left", "significantly", "both-safe"],
        ["right", "negligibly", "both-unsafe"],
        ["left", "slightly", "chosen-safe"],
      ] as const;
      for (const [i, [better, strength, safety]] of choices.entries()) {
        await answer(page, `${name} asks number ${i}?`);
        const decided = await decide(page, better, [strength, safety]);
        // An item of the other's is there for agreement only.
        if (decided.question.startsWith(name)) clicked.push(decided);
        await page.keyboard.press("Enter");
        await counted(page, i + 1);
      }
    };
    await Promise.all([annotate(ann, "Ann"), annotate(bob, "Bob")]);
    const lead = await signIn(first.lead);
    await lead.waitForSelector("article");
    const [download] = await Promise.all([lead.waitForEvent("download"), lead.click("text=Export all")]);
    exported = readFileSync(await download.path(), "utf8")
      .trimEnd()
      .split("\n")
      .map((row) => JSON.parse(row) as Record<string, unknown>);
    const rows = exported.map((row) => {
      const { prompt, chosen, rejected, strength, safety } = row as Record<string, { content: string }[]>;
      const content = (messages: { content: string }[] | undefined): string => messages!.at(-1)!.content;
      return {
        question: content(prompt),
        chosen: content(chosen),
        rejected: content(rejected),
        strength,
        safety,
      };
    });
    const byQuestion = (a: { question: string }, b: { question: string }): number =>
      a.question < b.question ? -1 : 1;
    expect(rows.toSorted(byQuestion)).toEqual(clicked.toSorted(byQuestion));
    expect(new Set(exported.map(({ judge }) => judge))).toEqual(new Set(["Ann (person)", "Bob (person)"]));
    expect(await lead.locator("article table").first().textContent()).toContain("Ann");
    await Promise.all([ann, bob, lead].map((page) => page.context().close()));
  });

  test("a server killed in the middle of a submit loses nothing and counts nothing twice", async () => {
    const ann = await signIn(first.ann);
    await ann.waitForSelector(".progress");
    const before = Number(await comparisons(ann));
    await answer(ann, "killed while it submits");
    await decide(ann, "left", ["better", "both-safe"]);
    await Promise.all([ann.keyboard.press("Enter"), sleep(4).then(() => kill(server))]);
    await restart();
    await counted(ann, before + 1);
    // Now dead before the submit; the page is loaded again before it could send.
    await answer(ann, "dead before it submits");
    await decide(ann, "right", ["better", "both-safe"]);
    await kill(server);
    await ann.keyboard.press("Enter");
    await ann.waitForSelector("text=The server does not answer. Nothing is lost");
    await restart();
    await ann.reload();
    await counted(ann, before + 2);
    await ann.context().close();
  });

  test("a server killed while the answers stream, and a reload: the answers come whole, the draft stays", async () => {
    const bob = await signIn(first.bob);
    await bob.waitForSelector("#prompt, .answers");
    while ((await bob.$("#prompt")) === null) {
      await answer(bob, "");
      await decide(bob, "left", ["better", "both-safe"]);
      await bob.keyboard.press("Enter");
      await bob.waitForSelector(".deciding", { state: "detached" });
      await bob.waitForSelector("#prompt, .answers");
    }
    await bob.fill("#prompt", "slow, and half written");
    await bob.reload();
    await bob.waitForSelector("#prompt");
    expect(await bob.inputValue("#prompt")).toBe("slow, and half written");
    await bob.focus("#prompt");
    await bob.keyboard.press("Control+Enter");
    await until(bob, `document.querySelector(".answer .text")?.textContent.length > 40`);
    await kill(server);
    await bob.waitForSelector("text=Trying again");
    await restart();
    await bob.waitForSelector(".deciding");
    const texts = await bob.locator(".answer .text").allTextContents();
    for (const text of texts) expect(text).toMatch(/^v[12] says: .* You asked: slow, and half written$/);
    await bob.keyboard.press("1");
    await bob.keyboard.press("s");
    await bob.reload();
    await bob.waitForSelector(".answer.chosen");
    expect(await bob.locator('input[name="strength"]:checked').inputValue()).toBe("better");
    await bob.keyboard.press("x");
    await until(bob, `document.querySelectorAll(".progress dd")[1].textContent === "1"`);
    await bob.context().close();
  });

  test("a hostile answer is text: nothing runs, nothing overflows, nothing is turned round", async () => {
    const ann = await signIn(first.ann);
    await ann.waitForSelector("#prompt, .answers");
    while ((await ann.$("#prompt")) === null) {
      await answer(ann, "");
      await ann.keyboard.press("x");
      await ann.waitForSelector(".deciding", { state: "detached" });
      await ann.waitForSelector("#prompt, .answers");
    }
    await answer(ann, "hostile");
    const texts = await ann.locator(".answer .text").allTextContents();
    for (const text of texts) {
      expect(text.length).toBeGreaterThan(1_000_000);
      expect(text).toContain('<script>window.hacked = 1</script><img src="x" onerror="window.hacked = 1">');
    }
    expect(await ann.evaluate('"hacked" in window')).toBe(false);
    expect(await ann.locator(".answer img, .answer script").count()).toBe(0);
    expect(await ann.locator(".remark").first().textContent()).toContain("1 invisible character");
    const layout = await ann.evaluate(`({
      isWithin: document.documentElement.scrollWidth <= innerWidth,
      bidi: getComputedStyle(document.querySelector(".answer .text")).unicodeBidi,
    })`);
    expect(layout).toEqual({ isWithin: true, bidi: "isolate" });
    const before = Number(await comparisons(ann));
    await decide(ann, "left", ["slightly", "both-unsafe"]);
    await ann.keyboard.press("Enter");
    await counted(ann, before + 1);
    // And taken back.
    await ann.keyboard.press("Escape");
    await ann.keyboard.press("u");
    await ann.waitForSelector(".deciding");
    await counted(ann, before);
    await ann.context().close();
  });

  test.each([
    ["light, desktop", { colorScheme: "light" }],
    ["dark, phone", { colorScheme: "dark", viewport: { width: 390, height: 844 }, hasTouch: true }],
  ] as const)("axe finds nothing to mend: %s", async (_, options) => {
    const problems = async (page: Page): Promise<unknown> => {
      // Evaluated by the debugger: the page's policy would refuse a script element.
      await page.evaluate(axe.source);
      return page.evaluate(`axe.run().then(({ violations }) =>
        violations.map(({ id, nodes }) => id + ": " + nodes.map(({ html }) => html).join(" ")))`);
    };
    const lead = await signIn(first.lead, options);
    await lead.waitForSelector("article");
    expect(await problems(lead)).toEqual([]);
    await lead.click("text=Annotate");
    await lead.waitForSelector("#prompt, .answers");
    await lead.selectOption(".batch select", { index: 1 });
    await lead.waitForSelector(".classes, .answers");
    expect(await problems(lead)).toEqual([]);
    await lead.selectOption(".batch select", { index: 0 });
    await lead.waitForSelector(".classes", { state: "detached" });
    await answer(lead, "What is a cria?");
    await lead.locator(".pick").first().click();
    expect(await problems(lead)).toEqual([]);
    expect(await lead.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
    await lead.context().close();
  });

  test("the page asks nobody but its own server", () => {
    expect(foreign).toEqual([]);
  });
}
