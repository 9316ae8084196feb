/** A model in the test's own process, as the HTTP side sees it. */

import type { Engine, GenerateEvent, GenerateRequest } from "../../src/serve/engine.ts";
import { ServedModel, type ServedModelOptions } from "../../src/serve/worker/served-model.ts";
import { EventBuffer } from "../../src/serve/event-buffer.ts";
import { invalid } from "../../src/serve/problem.ts";

export interface LocalEngine extends Engine {
  readonly model: ServedModel;
}

/** The caller closes it. */
export function localEngine(path: string, options: Partial<ServedModelOptions> = {}): LocalEngine {
  const model = new ServedModel({ path, device: "cpu", threads: 1, parallel: 8, queue: 16, ...options });
  const check = (id: string): void => {
    if (id !== "tiny") throw invalid(`There is no model "${id}".`, "model", "model_not_found");
  };
  return {
    model,
    models: () => [
      { id: "tiny", state: "ready", deaths: 0, description: model.description, stats: model.stats },
    ],
    load: async () => model.description,
    async *generate(
      request: GenerateRequest,
      signal?: AbortSignal,
    ): AsyncGenerator<GenerateEvent, undefined> {
      check(request.model);
      let leave = (): void => {};
      const buffer = new EventBuffer(() => leave());
      leave = model.generate(request, (event) => buffer.push(event));
      signal?.addEventListener("abort", () => void buffer.return(), { once: true });
      yield* buffer;
      signal?.throwIfAborted();
    },
    embed: (request) => model.embed(request),
    tokenize: async (request) => model.tokenize(request),
    detokenize: async (_model, tokens) => model.detokenize(tokens),
    applyTemplate: async (_model, prompt) => model.applyTemplate(prompt),
    async close() {
      // What was cancelled leaves before the next pass.
      while (model.stats.running > 0) await new Promise((later) => setTimeout(later, 1));
      model[Symbol.dispose]();
    },
  };
}
