/**
 * The built web page. Its files are read once, when the server starts, and found by their exact paths: no path of a
 * request ever reaches the file system.
 */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import type { Context } from "hono";
import type { Route } from "./route.ts";
import { pageContentPolicy } from "./security/headers.ts";

/** By path of the URL. */
export type StaticFiles = ReadonlyMap<string, StaticFile>;

export interface StaticFile {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly type: string;
  /** Whether its name changes with its content. */
  readonly isImmutable: boolean;
}

/** Reads a folder that was built by Vite; undefined where there is none. `index.html` is served at `/`, `page.html` at `/page`. */
export function readStaticFiles(folder: string): StaticFiles | undefined {
  if (!existsSync(join(folder, "index.html"))) return undefined;
  const files = new Map<string, StaticFile>();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    const path = `/${relative(folder, file).split(sep).join("/")}`;
    const type = types[entry.name.slice(entry.name.lastIndexOf("."))] ?? "application/octet-stream";
    files.set(path.replace(/(^|\/)index\.html$/, "$1").replace(/\.html$/, ""), {
      bytes: new Uint8Array(readFileSync(file)),
      type,
      isImmutable: path.startsWith("/assets/"),
    });
  }
  return files;
}

/** A route for each file, and for each page in a folder one that leads there from where the last slash is missing. */
export function staticRoutes(files: StaticFiles): Route[] {
  return [...files].flatMap(([path, file]) => {
    const page = pageRoute(path, ({ c }) => pageResponse(c, file));
    const folder = /([^/]+)\/$/.exec(path)?.[1];
    if (folder === undefined) return [page];
    // Relative, for a proxy may have put more before the path.
    return [page, pageRoute(path.slice(0, -1), ({ c }) => c.redirect(`${folder}/`, 308))];
  });
}

// --- internal ---

function pageRoute(path: string, handle: Route["handle"]): Route {
  return { method: "get", path, summary: "A file of the web page", isPublic: true, handle };
}

function pageResponse(c: Context, { bytes, type, isImmutable }: StaticFile): Response {
  return c.body(bytes, 200, {
    "content-type": type,
    "cache-control": isImmutable ? "public, max-age=31536000, immutable" : "no-cache",
    "content-security-policy": pageContentPolicy,
  });
}

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json",
  ".webmanifest": "application/manifest+json",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".ico": "image/x-icon",
  ".woff2": "font/woff2",
  ".txt": "text/plain; charset=utf-8",
};
