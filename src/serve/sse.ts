/**
 * Server-sent events (WHATWG HTML §9.2), as OpenAI's API streams them: a line of JSON each, and `[DONE]`. The next
 * event is asked for only when the connection takes it.
 */

import { problemBody, problemOf } from "./problem.ts";

export interface StreamListener {
  /** The client left. */
  readonly cancelled: () => void;
  /** The stream is over, by itself or by what went wrong. */
  readonly ended: (error?: unknown) => void;
}

export function eventStream(events: AsyncIterator<unknown>, listener: StreamListener): Response {
  const utf8 = new TextEncoder();
  // Asked for once: a comment in between keeps the connection alive, and the next pull waits on.
  let next: Promise<IteratorResult<unknown>> | undefined;
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          next ??= events.next();
          const step = await beforeSilence(next);
          if (step === "silence") {
            controller.enqueue(utf8.encode(": still at it\n\n"));
            return;
          }
          next = undefined;
          if (step.done === true) {
            controller.enqueue(utf8.encode("data: [DONE]\n\n"));
            controller.close();
            listener.ended();
            return;
          }
          controller.enqueue(utf8.encode(`data: ${JSON.stringify(step.value)}\n\n`));
        } catch (error) {
          controller.enqueue(utf8.encode(`data: ${JSON.stringify(problemBody(problemOf(error)))}\n\n`));
          controller.close();
          listener.ended(error);
        }
      },
      cancel() {
        listener.cancelled();
        listener.ended();
        // Not awaited: a generator that waits for its next event returns only after it.
        void events.return?.();
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(stream, {
    headers: {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store",
      // nginx would hold the events back.
      "x-accel-buffering": "no",
    },
  });
}

// --- internal ---

/** Proxies close connections that say nothing for a minute. */
const longestSilenceMs = 15_000;

async function beforeSilence<T>(next: Promise<T>): Promise<T | "silence"> {
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<"silence">((resolve) => {
    timer = setTimeout(resolve, longestSilenceMs, "silence");
  });
  try {
    return await Promise.race([next, silence]);
  } finally {
    clearTimeout(timer);
  }
}
