/** Builds the pages into `dist/web`, where the server looks for them. One HTML file for each page; no request leaves it. */

import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

export default defineConfig({
  root: path("."),
  build: {
    outDir: path("../dist/web"),
    emptyOutDir: true,
    // As data: URLs they would need a wider content policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // The first browsers with light-dark() of CSS.
    target: ["chrome123", "firefox120", "safari17.5"],
    rolldownOptions: { input: [path("index.html"), path("annotate/index.html")] },
  },
});
