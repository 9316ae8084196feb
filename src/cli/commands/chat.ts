/** `cria chat`: a conversation in the terminal. */

import { createInterface, type Interface } from "node:readline";
import { randomInt } from "node:crypto";
import { createRandom } from "../../corpus/random.ts";
import { chatFormat } from "../../dialog/chat-format.ts";
import { readTemplateFile } from "../../dialog/template-source.ts";
import { ConfigError, CriaError } from "../../errors/errors.ts";
import { writeFileAtomically } from "../../formats/atomic-file.ts";
import { ChatSession, type ChatEvent } from "../../generate/chat.ts";
import { checkSampling } from "../../generate/sampling.ts";
import { defineCommand, type CommandContext } from "../command.ts";
import { modelArguments, openModel, samplingArguments, samplingOf } from "../model-options.ts";

export const chat = defineCommand({
  details:
    "Answers stream as they are made. Ctrl-C stops an answer; Ctrl-D, or Ctrl-C at an empty prompt, ends the chat. " +
    "When the context is full the oldest turns are dropped, and it says so. /help lists what else can be typed.",
  args: {
    ...modelArguments,
    "chat-template": {
      type: "string",
      valueHint: "FILE",
      description: "Jinja template to use in place of the model's",
    },
    system: { type: "string", valueHint: "TEXT", description: "The system prompt" },
    tokens: {
      type: "string",
      as: "integer",
      min: 1,
      alias: "n",
      default: "512",
      valueHint: "N",
      description: "Longest answer, in tokens",
    },
    ...samplingArguments,
  },
  examples: [
    "cria chat runs/speedrun/model",
    'cria chat model.gguf --system "Answer briefly." --temperature 0.2',
  ],
  async run(args, context) {
    const sampling = samplingOf(args);
    checkSampling(sampling);
    using model = await openModel(args);
    const file = args["chat-template"];
    const format =
      file === undefined ? model.chatFormat : chatFormat(readTemplateFile(file), model.tokenizer);
    const session = new ChatSession(model.decoder, model.tokenizer, args.system, format);
    const random = createRandom(args.seed ?? randomInt(2 ** 31));
    const options = { ...sampling, maxTokens: args.tokens, next: () => random.next() };
    await converse(new Conversation(session, options, context), context);
  },
});

// --- internal ---

const help = `/system TEXT   set the system prompt and start anew; /system alone removes it
/reset         forget what was said
/save FILE     write the conversation as a line of messages JSONL
/quit          end the chat
`;

type AskOptions = Parameters<ChatSession["ask"]>[1];

class Conversation {
  readonly #session: ChatSession;
  readonly #options: AskOptions;
  readonly #context: CommandContext;
  #answering: AbortController | undefined;
  /** Whether the answer's line is not ended. */
  #isAmid = false;

  constructor(session: ChatSession, options: AskOptions, context: CommandContext) {
    this.#session = session;
    this.#options = options;
    this.#context = context;
  }

  /** Stops the answer that is being made. @returns whether there was one. */
  interrupt(): boolean {
    this.#answering?.abort();
    return this.#answering !== undefined;
  }

  /** @returns whether the chat goes on. */
  async take(line: string): Promise<boolean> {
    const { stderr, style } = this.#context;
    try {
      if (line.startsWith("/")) return this.#command(line);
      if (line.trim() !== "") await this.#answer(line);
    } catch (error) {
      // A mistake in one line does not end the conversation.
      if (!(error instanceof CriaError)) throw error;
      stderr.write(
        `${style.red("Error:")} ${error.message}\n${error.mend === "" ? "" : `  ${error.mend}\n`}`,
      );
    }
    return true;
  }

  #command(line: string): boolean {
    const { stderr } = this.#context;
    const [, name = "", rest = ""] = /^\/(\S*)\s*(.*)$/s.exec(line) ?? [];
    switch (name) {
      case "system":
        this.#session.setSystem(rest === "" ? undefined : rest);
        stderr.write(rest === "" ? "The system prompt is removed.\n" : "The system prompt is set.\n");
        return true;
      case "reset":
        this.#session.reset();
        stderr.write("Forgotten.\n");
        return true;
      case "save":
        this.#save(rest);
        return true;
      case "help":
        stderr.write(help);
        return true;
      case "quit":
      case "exit":
        return false;
      default:
        throw new ConfigError(`there is no /${name}`, { mend: "/help lists what can be typed." });
    }
  }

  #save(file: string): void {
    if (file === "") throw new ConfigError("/save wants a file", { mend: "Write /save chat.jsonl." });
    writeFileAtomically(file, `${JSON.stringify({ messages: this.#session.messages })}\n`);
    this.#context.stderr.write(`Saved to ${file}.\n`);
  }

  async #answer(question: string): Promise<void> {
    this.#answering = new AbortController();
    try {
      for await (const event of this.#session.ask(question, this.#options, this.#answering.signal)) {
        this.#show(event);
      }
    } finally {
      this.#answering = undefined;
    }
  }

  #show(event: ChatEvent): void {
    const { stdout, stderr, style } = this.#context;
    const note = (text: string): void => {
      stderr.write(`${this.#isAmid ? "\n" : ""}${style.dim(`(the context is full: ${text})`)}\n`);
    };
    switch (event.type) {
      case "dropped":
        note(`the oldest ${event.turns === 1 ? "turn is" : `${event.turns} turns are`} forgotten`);
        break;
      case "shortened":
        note("the beginning of this answer is forgotten");
        break;
      case "text":
        stdout.write(event.text);
        this.#isAmid = true;
        break;
      case "done":
        stdout.write("\n");
        this.#isAmid = false;
        if (event.reason !== "stop") stderr.write(style.dim(`(${endings[event.reason]})\n`));
        break;
    }
  }
}

const endings = {
  length: "the answer was cut at --tokens",
  context: "the answer was cut: the context is full",
  aborted: "stopped",
} as const;

async function converse(conversation: Conversation, { stderr, style }: CommandContext): Promise<void> {
  const isTerminal = process.stdin.isTTY;
  const lines = createInterface({
    input: process.stdin,
    output: isTerminal ? process.stderr : undefined,
    terminal: isTerminal,
  });
  lines.setPrompt(style.bold("> "));
  const interrupt = (): void => {
    if (!conversation.interrupt()) lines.close();
  };
  // readline takes Ctrl-C from a terminal; a signal may also come from elsewhere.
  lines.on("SIGINT", interrupt);
  process.on("SIGINT", interrupt);
  try {
    if (isTerminal) stderr.write(style.dim("/help lists commands; Ctrl-D ends the chat.\n"));
    await eachLine(lines, (line) => conversation.take(line), isTerminal);
  } finally {
    process.off("SIGINT", interrupt);
    lines.close();
  }
}

/** One line at a time: the next is read when the last is answered. */
async function eachLine(
  lines: Interface,
  take: (line: string) => Promise<boolean>,
  isTerminal: boolean,
): Promise<void> {
  if (isTerminal) lines.prompt();
  for await (const line of lines) {
    if (!(await take(line))) return;
    if (isTerminal) lines.prompt();
  }
}
