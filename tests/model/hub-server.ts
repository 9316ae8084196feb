/** A small Hugging Face Hub on the loopback: the file list and the files, as the client library asks for them. */

import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface HubServer extends AsyncDisposable {
  readonly url: string;
  /** Method-less: path and range of each request for a file's contents. */
  readonly requests: { readonly path: string; readonly range: string | undefined }[];
}

export interface Faults {
  /** Ends the connection after so many bytes of a body, once for each item. */
  readonly breakAfter?: number[];
  /** Status of every answer, unless the token is `hf_good`. */
  readonly status?: number;
  /** Lists hashes that are not the files'. */
  readonly hasWrongHashes?: boolean;
}

const repo = "owner/name";

export async function openHub(
  files: Readonly<Record<string, Uint8Array>>,
  faults: Faults = {},
): Promise<HubServer> {
  const requests: { path: string; range: string | undefined }[] = [];
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url!, "http://hub");
    if (faults.status !== undefined && request.headers.authorization !== "Bearer hf_good") {
      response.writeHead(faults.status, { "content-type": "application/json" });
      response.end(JSON.stringify({ error: "Access to model owner/name is restricted." }));
    } else if (pathname === `/api/models/${repo}/tree/main`) {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(Object.entries(files).map(([path, bytes]) => entry(path, bytes, faults))));
    } else {
      const path = decodeURIComponent(pathname.replace(`/${repo}/resolve/main/`, ""));
      const bytes = files[path];
      if (bytes === undefined) response.writeHead(404, { "X-Error-Code": "RepoNotFound" }).end();
      else {
        requests.push({ path, range: request.headers.range });
        answer(request, response, bytes, faults);
      }
    }
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}

/** What is over a kilobyte is kept by LFS, and listed with SHA-256. */
function entry(path: string, bytes: Uint8Array, { hasWrongHashes = false }: Faults): object {
  const blob = createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
  const oid = hasWrongHashes ? "0".repeat(64) : createHash("sha256").update(bytes).digest("hex");
  const size = bytes.length;
  const lfs = size > 1024 ? { lfs: { oid, size, pointerSize: 134 } } : {};
  return { type: "file", path, size, oid: blob, ...lfs };
}

function answer(request: IncomingMessage, response: ServerResponse, bytes: Uint8Array, faults: Faults): void {
  const [, from = "0", to = ""] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "bytes=0-") ?? [];
  const body = bytes.subarray(Number(from), to === "" ? bytes.length : Number(to) + 1);
  response.writeHead(request.headers.range === undefined ? 200 : 206, {
    etag: '"x"',
    "content-length": body.length,
    "content-range": `bytes ${from}-${Number(from) + body.length - 1}/${bytes.length}`,
  });
  const cut = body.length > 1 ? faults.breakAfter?.[0] : undefined;
  if (cut === undefined || cut >= body.length) {
    response.end(body);
    return;
  }
  faults.breakAfter!.shift();
  // What was written has time to arrive.
  response.write(body.subarray(0, cut), () => setTimeout(() => response.destroy(), 50));
}
