/** The chat page in a real browser, served by the real server with a tiny model. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { build } from "vite";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startServer, type StartedServer } from "../../src/serve/start.ts";
import { tinyFolder, type TinyFolder } from "../serve/tiny-served.ts";
import { accessibilityFaults, chromiumPath, openBrowser } from "./browser.ts";

/** Whatever a model may write that would run, fetch or leave. */
const hostile = [
  "<script>window.ran = 1</script>",
  '<img src="x" onerror="window.ran = 2">',
  '<svg onload="window.ran = 3"></svg>',
  "[link](javascript:window.ran=4)",
  "![picture](http://127.0.0.1:1/pixel.png)",
  '<a href="data:text/html,<script>1</script>">x</a>',
  "<style>body { display: none }</style>",
  "`<b>code</b>` and **bold** and [good](https://example.org)",
].join("\n\n");

describe.skipIf(chromiumPath === undefined)("in Chromium (skipped where there is none),", () => {
  let folder: TinyFolder;
  let pages: string;
  let server: StartedServer;
  let browser: Browser;
  const opened: Page[] = [];
  const wrong: string[] = [];

  beforeAll(async () => {
    folder = tinyFolder(4096);
    pages = mkdtempSync(join(tmpdir(), "cria-web-"));
    await build({
      configFile: fileURLToPath(new URL("../../web/vite.config.ts", import.meta.url)),
      build: { outDir: pages },
      logLevel: "error",
    });
    server = await startServer({
      models: [{ path: folder.path }, { id: "second", path: folder.path }],
      model: { device: "cpu", threads: 1, parallel: 4, queue: 4 },
      host: "127.0.0.1",
      port: 0,
      pageFolder: pages,
      report: (message) => wrong.push(message),
    });
    browser = await openBrowser();
  }, 120_000);
  afterEach(async () => {
    for (const page of opened.splice(0)) await page.context().close();
    expect(wrong).toEqual([]);
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close(1);
    folder?.[Symbol.dispose]();
    if (pages !== undefined) rmSync(pages, { recursive: true });
  });

  async function open(options: BrowserContextOptions = {}): Promise<Page> {
    const context = await browser.newContext(options);
    context.setDefaultTimeout(15_000);
    const page = await context.newPage();
    page.on("pageerror", (error) => wrong.push(error.message));
    page.on("console", (message) => {
      if (message.type() === "error") wrong.push(message.text());
    });
    page.on("request", (request) => {
      if (!request.url().startsWith(server.url)) wrong.push(`asks ${request.url()}`);
    });
    await page.goto(server.url);
    await page.locator(".model option", { hasText: "second" }).waitFor({ state: "attached" });
    opened.push(page);
    return page;
  }

  async function ask(page: Page, question: string): Promise<void> {
    await page.fill("#question", question);
    await page.keyboard.press("Enter");
    await page.waitForSelector(".answer:last-of-type .stats >> text=/first after/");
  }

  async function setLongest(page: Page, tokens: number): Promise<void> {
    await page.keyboard.press("Alt+Comma");
    await page.getByLabel("Longest answer").fill(String(tokens));
    await page.getByRole("button", { name: "Done" }).click();
  }

  test("an answer streams in, with its tokens and speed, and is there after a reload", async () => {
    const page = await open();
    await setLongest(page, 48);
    await ask(page, "What is a whale?");
    const stats = await page.locator(".stats").textContent();
    expect(stats).toMatch(/^\d+ tokens · (?:[\d.]+ tokens\/s · )?first after \d+\.\d\d s/);
    await page.reload();
    await page.getByRole("button", { name: "What is a whale?", exact: true }).click();
    await expect.poll(() => page.locator(".question .text").textContent()).toBe("What is a whale?");
    expect(await page.locator(".stats").textContent()).toBe(stats);
  });

  test("a question that is edited is asked anew, and what came after it is forgotten", async () => {
    const page = await open();
    await setLongest(page, 16);
    await ask(page, "one");
    await ask(page, "two");
    expect(await page.locator(".question").count()).toBe(2);
    await page.getByRole("button", { name: "Edit" }).first().click();
    await page.getByLabel("The question in other words").fill("three");
    await page.getByRole("button", { name: "Ask", exact: true }).click();
    await expect.poll(() => page.locator(".question .text").allTextContents()).toEqual(["three"]);
    await page.waitForSelector(".stats >> text=/first after/");
    await page.getByRole("button", { name: "Again" }).click();
    await expect.poll(() => page.locator(".answer").count()).toBe(1);
    await page.waitForSelector(".stats >> text=/first after/");
  });

  test("Escape stops an answer, and the server writes no more of it", async () => {
    const page = await open();
    await setLongest(page, 4096);
    // A random model may end by itself at any token.
    await page.route("**/v1/chat/completions", (route) => {
      const body = route.request().postDataJSON() as object;
      return route.continue({ postData: JSON.stringify({ ...body, ignore_eos: true }) });
    });
    await page.fill("#question", "go on");
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Stop" }).waitFor();
    await page.keyboard.press("Escape");
    await page.locator(".failure", { hasText: "Stopped." }).waitFor();
    await expect
      .poll(async () => /^cria_texts_running\{model="tiny"\} 0$/m.test(await metrics()), { timeout: 10_000 })
      .toBe(true);
  });

  async function metrics(): Promise<string> {
    return (await fetch(`${server.url}/metrics`)).text();
  }

  test("nothing that a model writes runs, fetches or leaves", async () => {
    const page = await open();
    await page.evaluate((content) => {
      const turns = [
        { id: "a", role: "user", content: "hostile" },
        { id: "b", role: "assistant", content },
      ];
      const page = globalThis as unknown as { localStorage: { setItem(key: string, value: string): void } };
      page.localStorage.setItem(
        "cria.conversations",
        JSON.stringify([{ id: "c", system: "", turns, changed: 1 }]),
      );
    }, hostile);
    await page.reload();
    await page.getByRole("button", { name: "hostile", exact: true }).click();
    await page.waitForSelector(".markdown strong");
    const made = await page.locator(".markdown").evaluate((element) => ({
      tags: [
        ...new Set([...element.querySelectorAll("*")].map((child) => child.tagName.toLowerCase())),
      ].toSorted((a, b) => a.localeCompare(b)),
      links: [...element.querySelectorAll("a")].map((a) => a.getAttribute("href")),
      code: element.querySelector("code")!.textContent,
      ran: (globalThis as unknown as { ran?: number }).ran,
    }));
    expect(made).toEqual({
      tags: ["a", "code", "p", "strong"],
      links: [null, "https://example.org"],
      code: "<b>code</b>",
      ran: undefined,
    });
  });

  test("a key that is filled in at once, as password managers do, is used", async () => {
    const apiKey = "0123456789abcdef";
    const keyed = await startServer({
      models: [{ path: folder.path }],
      model: { device: "cpu", threads: 1, parallel: 1, queue: 1 },
      host: "127.0.0.1",
      port: 0,
      apiKeys: [apiKey],
      pageFolder: pages,
      report: (message) => wrong.push(message),
    });
    try {
      const page = await (await browser.newContext()).newPage();
      opened.push(page);
      await page.goto(keyed.url);
      await page.locator(".notice", { hasText: "This server wants an API key: see Settings." }).waitFor();
      await page.keyboard.press("Alt+Comma");
      await page.getByLabel("API key").fill(apiKey);
      await page.getByRole("button", { name: "Done" }).click();
      await page.locator(".model option", { hasText: "tiny" }).waitFor({ state: "attached", timeout: 5000 });
      expect(await page.locator(".notice").count()).toBe(0);
    } finally {
      await keyed.close(0);
    }
  });

  test("a deleted conversation comes back", async () => {
    const page = await open();
    await setLongest(page, 16);
    await ask(page, "keep me");
    await page.getByRole("button", { name: "Delete: keep me" }).click();
    await expect.poll(() => page.locator("nav li").count()).toBe(0);
    await page.getByRole("button", { name: "Undo" }).click();
    await expect.poll(() => page.locator("nav li").count()).toBe(1);
  });

  test.each([
    ["light", { viewport: { width: 1200, height: 800 }, colorScheme: "light" }],
    ["dark", { viewport: { width: 1200, height: 800 }, colorScheme: "dark" }],
    ["on a phone", { viewport: { width: 390, height: 780 }, colorScheme: "light" }],
  ] as const)("axe finds nothing, %s", async (_, options) => {
    const page = await open(options);
    await setLongest(page, 16);
    await ask(page, "hello");
    expect(await accessibilityFaults(page)).toEqual([]);
    await page.keyboard.press("Alt+Comma");
    expect(await accessibilityFaults(page)).toEqual([]);
    const width = await page.locator("html").evaluate((html) => html.scrollWidth);
    expect(width).toBe(options.viewport.width);
  });
});
