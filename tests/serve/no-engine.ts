import type { Engine } from "../../src/serve/engine.ts";

function none(): never {
  throw new Error("nothing may ask a model here");
}

/** Of a server whose models are never asked. */
export const noEngine: Engine = {
  models: () => [],
  load: none,
  generate: none,
  embed: none,
  tokenize: none,
  detokenize: none,
  applyTemplate: none,
  close: none,
};
