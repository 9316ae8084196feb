import { describe, expect, test } from "vitest";
import { ChatSession, type ChatEvent } from "../../src/generate/chat.ts";
import { Decoder } from "../../src/model/decoder.ts";
import { openBackend } from "../../src/tensor/backend.ts";
import { encodePrompt } from "../../src/dialog/llama2-chat.ts";
import { tinyTokenizer } from "../dialog/tiny-tokenizer.ts";
import { tinyConfig, tinyWeights } from "../tiny-model.ts";

const tokenizer = tinyTokenizer();
const config = { ...tinyConfig, vocabSize: tokenizer.vocabSize, maxSeqLen: 512 };
const { eosId } = tokenizer;
const greedy = { temperature: 0, topK: 0, topP: 1, maxTokens: 6, next: () => 0, bannedIds: [eosId] };

/** Sessions on decoders of their own of one model. */
async function withSessions(
  contextTokens: number,
  body: (open: () => { session: ChatSession; decoder: Decoder }) => Promise<void>,
): Promise<void> {
  using backend = openBackend({ threads: 1 });
  using weights = tinyWeights(backend, config);
  const decoders: Decoder[] = [];
  try {
    await body(() => {
      const decoder = new Decoder(backend, weights, { contextTokens });
      decoders.push(decoder);
      return { decoder, session: new ChatSession(decoder, tokenizer) };
    });
  } finally {
    for (const decoder of decoders) decoder[Symbol.dispose]();
  }
}

async function asked(
  session: ChatSession,
  question: string,
  signal?: AbortSignal,
  maxTokens = greedy.maxTokens,
): Promise<ChatEvent[]> {
  const events: ChatEvent[] = [];
  for await (const event of session.ask(question, { ...greedy, maxTokens }, signal)) events.push(event);
  return events;
}

/** Tokens that a decoder sees, whenever one is asked for. */
function seenBy(decoder: Decoder): () => number[] {
  let seen: number[] = [];
  const read = decoder.read.bind(decoder);
  decoder.read = (tokens, signal) => {
    seen = [...seen.slice(0, decoder.length), ...Array.from(tokens)];
    return read(tokens, signal);
  };
  return () => seen.slice(0, decoder.length);
}

function textOf(events: readonly ChatEvent[]): string {
  return events.map((event) => (event.type === "text" ? event.text : "")).join("");
}

describe("a conversation", () => {
  test("streams an answer and remembers it", () =>
    withSessions(512, async (open) => {
      const { session } = open();
      const events = await asked(session, "Who?");
      expect(events.at(-1)).toEqual({ type: "done", reason: "length", tokens: 6 });
      const text = textOf(events);
      expect(text).not.toBe("");
      expect(session.messages).toEqual([
        { role: "user", content: "Who?" },
        { role: "assistant", content: text.trim() },
      ]);
    }));

  test("reads only what is new, and says what a model would that reads it all", () =>
    withSessions(512, async (open) => {
      const [kept, fresh] = [open(), open()];
      await asked(kept.session, "Who?");
      const read: number[] = [];
      const { decoder } = kept;
      const original = decoder.read.bind(decoder);
      decoder.read = (tokens, signal) => {
        read.push(tokens.length);
        return original(tokens, signal);
      };
      const second = textOf(await asked(kept.session, "Where?"));
      const prompt = encodePrompt(kept.session.messages.slice(0, 3), tokenizer);
      expect(read[0]).toBeLessThan(prompt.length);

      // The same turns at once, by a decoder that has read nothing.
      await fresh.decoder.read(prompt);
      fresh.decoder.truncate(0);
      const { generateTokens } = await import("../../src/generate/generate.ts");
      const ids: number[] = [];
      for await (const id of generateTokens(fresh.decoder, prompt, { ...greedy, stopIds: [2] })) ids.push(id);
      const text = tokenizer.decode([...prompt, ...ids]).slice(tokenizer.decode(prompt).length);
      expect(second.trim()).toBe(text.trim());
    }));

  test("drops the oldest turns when the context is full, and says how many", () =>
    withSessions(96, async (open) => {
      const { session, decoder } = open();
      const dropped: number[] = [];
      for (let i = 0; i < 6; i += 1) {
        for (const event of await asked(session, `Question number ${i}?`))
          if (event.type === "dropped") dropped.push(event.turns);
        expect(decoder.length).toBeLessThanOrEqual(96);
      }
      expect(dropped.length).toBeGreaterThan(2);
      expect(new Set(dropped)).toEqual(new Set([1]));
      expect(session.messages.length).toBeLessThan(8);
      expect(session.messages[0]!.role).toBe("user");
    }));

  test("keeps its system prompt when turns are dropped", () =>
    withSessions(128, async (open) => {
      const { session } = open();
      session.setSystem("Be brief.");
      for (let i = 0; i < 5; i += 1) await asked(session, `Question ${i}?`);
      expect(session.messages[0]).toEqual({ role: "system", content: "Be brief." });
      expect(session.messages.length).toBeLessThan(11);
    }));

  test("refuses a question that alone does not fit, and remembers nothing of it", () =>
    withSessions(64, async (open) => {
      const { session } = open();
      await asked(session, "Who?");
      const before = session.messages;
      await expect(asked(session, "x".repeat(200))).rejects.toMatchObject({
        name: "ConfigError",
        message: expect.stringMatching(
          /^the question has \d+ tokens, and the context has room for 58$/,
        ) as string,
        mend: "Ask something shorter, or open the model with a longer --context.",
      });
      expect(session.messages).toEqual(before);
      expect((await asked(session, "Who?")).at(-1)).toMatchObject({ type: "done" });
    }));

  test("keeps an aborted answer as far as it came, and goes on", () =>
    withSessions(512, async (open) => {
      const { session } = open();
      const controller = new AbortController();
      const events: ChatEvent[] = [];
      for await (const event of session.ask("Who?", { ...greedy, maxTokens: 100 }, controller.signal)) {
        events.push(event);
        if (events.length === 3) controller.abort();
      }
      expect(events.at(-1)).toMatchObject({ type: "done", reason: "aborted" });
      expect(session.messages.at(-1)).toEqual({ role: "assistant", content: textOf(events).trim() });
      expect((await asked(session, "Where?")).at(-1)).toMatchObject({ reason: "length" });
      expect(session.messages).toHaveLength(4);
    }));

  test("that is aborted before its first word remembers nothing of the question", () =>
    withSessions(512, async (open) => {
      const { session } = open();
      expect(await asked(session, "Who?", AbortSignal.abort())).toEqual([
        { type: "done", reason: "aborted", tokens: 0 },
      ]);
      expect(session.messages).toEqual([]);
    }));

  test("that nobody listens to any further keeps the answer as far as it was heard", () =>
    withSessions(512, async (open) => {
      const { session } = open();
      let heard = "";
      for await (const event of session.ask("Who are you, and why?", { ...greedy, maxTokens: 50 })) {
        if (event.type !== "text") continue;
        heard += event.text;
        break;
      }
      expect(session.messages).toEqual([
        { role: "user", content: "Who are you, and why?" },
        { role: "assistant", content: heard.trim() },
      ]);
      expect((await asked(session, "Where?")).at(-1)).toMatchObject({ type: "done" });
      expect(session.messages).toHaveLength(4);
    }));

  test("that is reset answers as at the beginning", () =>
    withSessions(512, async (open) => {
      const { session } = open();
      const first = textOf(await asked(session, "Who?"));
      await asked(session, "Where?");
      session.reset();
      expect(session.messages).toEqual([]);
      expect(textOf(await asked(session, "Who?"))).toBe(first);
    }));

  test("begins anew with another system prompt", () =>
    withSessions(512, async (open) => {
      const { session } = open();
      await asked(session, "Who?");
      session.setSystem("Be brief.");
      expect(session.messages).toEqual([{ role: "system", content: "Be brief." }]);
      session.setSystem(undefined);
      expect(session.messages).toEqual([]);
    }));
});

describe("an answer that overruns the context", () => {
  const ends = { type: "done", reason: "length" };

  test("goes on when the oldest turns are dropped amid it, which is said where it happens", () =>
    withSessions(128, async (open) => {
      const { session, decoder } = open();
      const seen = seenBy(decoder);
      await asked(session, "One?");
      await asked(session, "Two?");
      const events = await asked(session, "Three?", undefined, 60);
      expect(events.at(-1)).toEqual({ ...ends, tokens: 60 });
      // It began with all that was said in sight, for a quarter of the context was free.
      const dropped = events.findIndex(({ type }) => type === "dropped");
      expect(dropped).toBeGreaterThan(20);
      expect(events[dropped]).toEqual({ type: "dropped", turns: 1 });
      expect(session.messages[0]!.content).toBe("Two?");
      expect(session.messages.at(-1)!.content).toBe(textOf(events).trim());
      // The model saw the turns that are left, and of the answer every token but the last.
      const prompt = encodePrompt(session.messages.slice(0, -1), tokenizer);
      expect(seen().slice(0, prompt.length)).toEqual([...prompt]);
      expect(seen()).toHaveLength(prompt.length + 59);
    }));

  test("goes on as a model does that never saw the dropped turn", () =>
    withSessions(128, async (open) => {
      const [{ session, decoder }, { decoder: fresh }] = [open(), open()];
      const seen = seenBy(decoder);
      await asked(session, "One?");
      await asked(session, "Two?", undefined, 100);
      const tokens = seen();
      const prompt = encodePrompt([{ role: "user", content: "Two?" }], tokenizer);
      // The last ones, written since the turn is out of sight.
      for (let at = tokens.length - 5; at < tokens.length; at += 1) {
        fresh.truncate(0);
        const logits = await fresh.read(tokens.slice(0, at));
        expect(logits.indexOf(Math.max(...logits))).toBe(tokens[at]);
      }
      expect(tokens.slice(0, prompt.length)).toEqual([...prompt]);
    }));

  test("with no turn left to drop goes on without its own beginning in sight, and says so", () =>
    withSessions(96, async (open) => {
      const { session, decoder } = open();
      const seen = seenBy(decoder);
      const events = await asked(session, "Why?", undefined, 200);
      expect(events.filter(({ type }) => type === "shortened").length).toBeGreaterThan(2);
      expect(events.some(({ type }) => type === "dropped")).toBe(false);
      expect(events.at(-1)).toEqual({ ...ends, tokens: 200 });
      expect(session.messages).toEqual([
        { role: "user", content: "Why?" },
        { role: "assistant", content: textOf(events).trim() },
      ]);
      const prompt = encodePrompt(session.messages.slice(0, 1), tokenizer);
      expect(seen().slice(0, prompt.length)).toEqual([...prompt]);
      // What comes next knows what was read.
      expect((await asked(session, "Where?")).at(-1)).toMatchObject(ends);
    }));

  test("that is aborted after a turn was dropped is kept, and what was read is known", () =>
    withSessions(128, async (open) => {
      const [{ session }, { session: fresh }] = [open(), open()];
      await asked(session, "One?");
      const controller = new AbortController();
      for await (const event of session.ask("Two?", { ...greedy, maxTokens: 100 }, controller.signal))
        if (event.type === "dropped") controller.abort();
      expect(session.messages[0]!.content).toBe("Two?");
      session.reset();
      expect(textOf(await asked(session, "Three?"))).toBe(textOf(await asked(fresh, "Three?")));
    }));
});
