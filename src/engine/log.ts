/** The engine's own messages, brought to one logger. Silent unless one is set: they speak to ggml's developers. */

import { readString, registerCallback } from "./ffi.ts";
import type { Ggml } from "./signatures.ts";

export type NativeLogLevel = "debug" | "info" | "warning" | "error";
export type NativeLogger = (level: NativeLogLevel, message: string) => void;

let logger: NativeLogger = () => {};

/** Sends the engine's messages to `next`; returns the logger that was set before. */
export function setNativeLogger(next: NativeLogger): NativeLogger {
  const previous = logger;
  logger = next;
  return previous;
}

/** Called once, when the library is opened. */
export function routeNativeLog(ggml: Ggml): void {
  let level: NativeLogLevel = "info";
  const callback = registerCallback(
    "void ggml_log(int level, ptr text, ptr data)",
    (code: number, text: number) => {
      // Level 5 continues the message before it.
      if (code !== 5) level = levels[code] ?? "info";
      logger(level, readString(text).trimEnd());
    },
  );
  ggml.logSet(callback, 0);
}

// --- internal ---

/** ggml_log_level. */
const levels: Readonly<Record<number, NativeLogLevel>> = { 1: "debug", 2: "info", 3: "warning", 4: "error" };
