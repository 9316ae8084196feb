/** What watches the server asks: whether it lives, whether it takes work, and how it does. */

import { z } from "zod";
import type { RouteModule } from "../route.ts";

export const healthRoutes: RouteModule = ({ engine, metrics, isOpen }) => [
  {
    method: "get",
    path: "/health",
    summary: "Whether the server lives",
    isPublic: true,
    answer: z.object({ status: z.literal("ok") }),
    handle: ({ c }) => c.json({ status: "ok" }),
  },
  {
    method: "get",
    path: "/ready",
    summary: "Whether it takes work: 503 while it is being stopped, and while no model can be opened",
    isPublic: true,
    answer: z.object({ status: z.enum(["ready", "stopping", "no model"]) }),
    handle({ c }) {
      if (!isOpen()) return c.json({ status: "stopping" }, 503);
      const isUsable = engine.models().some(({ state }) => state !== "failed");
      return isUsable ? c.json({ status: "ready" }) : c.json({ status: "no model" }, 503);
    },
  },
  {
    method: "get",
    path: "/metrics",
    summary: "Counters and histograms, in Prometheus' text format",
    handle: ({ c }) =>
      c.text(metrics.text(engine.models()), 200, { "content-type": "text/plain; version=0.0.4" }),
  },
];
