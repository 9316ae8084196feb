import { afterEach, expect } from "vitest";
import { liveArenas } from "../src/engine/library.ts";

afterEach(() => {
  expect(liveArenas()).toEqual([]);
});
