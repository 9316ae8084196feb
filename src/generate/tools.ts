/**
 * Tools, as OpenAI's API has them: the model is told which functions there are, and answers with a call of one, an
 * object of its name and its arguments between marks in the text:
 *
 *     <tool_call>
 *     {"name": "weather", "arguments": {"city": "Paris"}}
 *     </tool_call>
 *
 * How a server uses it:
 *
 * 1. what the model reads: a template that knows tools gets them (`template.encode(messages, { tools })`); for all
 *    others, Llama 2's too, {@link withToolsInText} says in plain messages what tools there are, what was called and
 *    what came back;
 * 2. what it may write: {@link toolGrammar} for `tool_choice`, run by a `TokenGrammar`: "auto" lets it write any text
 *    but holds it to a whole call once it has begun one, "required" and a named function begin with the call; where
 *    an answer is held to a format (`response_format`), "auto" lets it be that or a call;
 * 3. what it wrote: {@link parseToolCalls} of the whole answer, or {@link ToolCallParser} piece by piece.
 */

import type { TemplateMessage } from "../dialog/template-message.ts";
import { ConfigError } from "../errors/errors.ts";
import { nearestName } from "../errors/nearest.ts";
import {
  characters,
  choice,
  complement,
  renamed,
  repeat,
  rule,
  sequence,
  text,
  type CodeRange,
  type Expression,
  type Grammar,
} from "./grammar/grammar.ts";
import { grammarOfSchema } from "./grammar/json-schema.ts";
import { jsonRules, list, row, whiteSpace } from "./grammar/json-text.ts";
import { hermesCalls, type CallFormat } from "./tools/call-format.ts";

export { callFormatOf, hermesCalls, mistralCalls, type CallFormat } from "./tools/call-format.ts";
export { parseToolCalls, ToolCallParser, type CallPlace } from "./tools/call-parser.ts";

export interface ToolDefinition {
  readonly type: "function";
  readonly function: {
    readonly name: string;
    readonly description?: string | undefined;
    /** JSON Schema of the arguments, an object; without it there are none. */
    readonly parameters?: unknown;
  };
}

export type ToolChoice =
  | "none"
  | "auto"
  | "required"
  | { readonly type: "function"; readonly function: { readonly name: string } };

export interface ToolGrammarOptions {
  /** Whether one answer may have several calls: yes when left out. */
  readonly isParallel?: boolean;
  readonly format?: CallFormat;
  /** What an answer without calls is held to: with it, a call stands alone and not after a text. */
  readonly content?: Grammar | undefined;
}

/**
 * The grammar of an answer; undefined where any text will do.
 *
 * @throws {ConfigError} for tools that cannot be called, a schema that cannot be held to, or a choice that is not there.
 */
export function toolGrammar(
  tools: readonly ToolDefinition[],
  toolChoice: ToolChoice,
  { isParallel = true, format = hermesCalls, content }: ToolGrammarOptions = {},
): Grammar | undefined {
  checkTools(tools, toolChoice);
  if (toolChoice === "none" || tools.length === 0) return content;
  const chosen =
    typeof toolChoice === "string"
      ? tools
      : tools.filter((tool) => tool.function.name === toolChoice.function.name);
  const rules = new Map(jsonRules);
  rules.set("call", choice(...chosen.map((tool, i) => callOf(tool, i, rules))));
  // A named function is called once, as with OpenAI.
  const most = isParallel && typeof toolChoice === "string" ? Number.POSITIVE_INFINITY : 1;
  rules.set("calls", format.isList ? callList(most) : markedCalls(format, most));
  const calls = sequence(text(format.open), rule("calls"));
  rules.set("root", toolChoice === "auto" ? callsOrText(format.open, content, rules) : calls);
  return { rules, root: "root" };
}

/**
 * The same conversation for a format that knows nothing of tools: what they are is said in the system message, calls
 * stand in the assistant's messages, and what they returned in the user's.
 */
export function withToolsInText(
  messages: readonly TemplateMessage[],
  tools: readonly ToolDefinition[],
  format: CallFormat = hermesCalls,
): TemplateMessage[] {
  const [opening, ...others] = messages;
  const hasSystem = opening?.role === "system";
  const explained = tools.length === 0 ? [] : [toolSystemText(tools, format)];
  const system = [...(hasSystem ? [opening.content] : []), ...explained].join("\n\n");
  const dialog: TemplateMessage[] = system === "" ? [] : [{ role: "system", content: system }];
  for (const message of hasSystem ? others : messages) {
    const said = plainMessage(message, format);
    const before = dialog.at(-1);
    // Results of several calls, and a question after them, are one message of the user.
    if (before?.role === "user" && said.role === "user") {
      dialog[dialog.length - 1] = { role: "user", content: `${before.content}\n${said.content}` };
    } else dialog.push(said);
  }
  return dialog;
}

/** What a system message says of the tools. */
export function toolSystemText(tools: readonly ToolDefinition[], format: CallFormat = hermesCalls): string {
  const listed = tools.map((tool) => JSON.stringify(tool.function)).join("\n");
  const example = format.write([{ name: "function_name", arguments: '{"parameter": "value"}' }]);
  return `You can call these functions, each described with the JSON schema of its parameters:\n${listed}\n\nTo call one, answer with exactly this and nothing after it:\n${example}`;
}

// --- internal ---

/** OpenAI's limits. */
const mostTools = 128;
const namePattern = /^[a-zA-Z0-9_-]{1,64}$/;

function checkTools(tools: readonly ToolDefinition[], toolChoice: ToolChoice): void {
  const names = tools.map((tool) => tool.function.name);
  if (tools.length > mostTools) {
    throw new ConfigError(`${tools.length} tools, of which ${mostTools} are the most`, {
      mend: "Offer fewer.",
    });
  }
  for (const [i, name] of names.entries()) {
    if (!namePattern.test(name)) {
      throw new ConfigError(`tools[${i}] has the name ${JSON.stringify(name)}`, {
        mend: "A name has 1 to 64 letters, digits, underscores and hyphens.",
      });
    }
    if (names.indexOf(name) < i) {
      throw new ConfigError(`two tools have the name ${name}`, { mend: "Give each a name of its own." });
    }
  }
  if (toolChoice === "none" || toolChoice === "auto") return;
  if (tools.length === 0) {
    throw new ConfigError("tool_choice asks for a call, and there are no tools", {
      mend: "Add tools, or leave it out.",
    });
  }
  if (toolChoice === "required" || names.includes(toolChoice.function.name)) return;
  const nearest = nearestName(toolChoice.function.name, names);
  throw new ConfigError(`tool_choice names ${toolChoice.function.name}, which is not among the tools`, {
    mend: nearest === undefined ? `There are ${names.join(", ")}.` : `Did you mean ${nearest}?`,
  });
}

/** `{"name": "…", "arguments": {…}}`, the rules of its schema added. */
function callOf(
  { function: { name, parameters } }: ToolDefinition,
  i: number,
  rules: Map<string, Expression>,
): Expression {
  const head = keyed("name", text(JSON.stringify(name)));
  if (parameters === undefined)
    return row("{", [head, keyed("arguments", list(["{", "}"], text(""), 0, 0))], "}");
  let grammar: Grammar;
  try {
    grammar = grammarOfSchema(parameters);
  } catch (cause) {
    if (!(cause instanceof ConfigError)) throw cause;
    throw new ConfigError(`the parameters of the tool ${name}: ${cause.message}`, {
      cause,
      mend: cause.mend,
    });
  }
  const own = renamed(grammar, (rule) => (jsonRules.has(rule) ? rule : `tool${i}${rule}`));
  for (const [key, expression] of own.rules) rules.set(key, expression);
  return row("{", [head, keyed("arguments", rule(own.root))], "}");
}

function keyed(key: string, value: Expression): Expression {
  return sequence(text(JSON.stringify(key)), text(":"), whiteSpace, value);
}

/** Calls or a text of the content's grammar; or any text, which may end in calls. */
function callsOrText(mark: string, content: Grammar | undefined, rules: Map<string, Expression>): Expression {
  if (content === undefined) return freeText(mark, rules);
  const own = renamed(content, (name) => `content-${name}`);
  for (const [name, expression] of own.rules) rules.set(name, expression);
  return choice(sequence(text(mark), rule("calls")), rule(own.root));
}

function callList(most: number): Expression {
  return sequence(whiteSpace, list(["[", "]"], rule("call"), 1, most));
}

/** After the mark that opens the first. */
function markedCalls({ open, close }: CallFormat, most: number): Expression {
  const one = sequence(whiteSpace, rule("call"), whiteSpace, text(close));
  return sequence(one, repeat(sequence(whiteSpace, text(open), one), 0, most - 1));
}

/**
 * Text without the mark, up to where it ends or the mark begins a call. Rule free-i reads on when the last i
 * characters are the mark's first (the automaton of Knuth, Morris and Pratt 1977).
 */
function freeText(mark: string, rules: Map<string, Expression>): Expression {
  const signs = [...new Set(mark)];
  for (let i = 0; i < mark.length; i += 1) {
    const options: Expression[] = [text("")];
    const toStart: CodeRange[] = [];
    for (const sign of signs) {
      const next = longestBeginning(mark, mark.slice(0, i) + sign);
      const code = sign.codePointAt(0)!;
      if (next === 0) toStart.push([code, code]);
      else options.push(sequence(text(sign), rule(next === mark.length ? "calls" : `free-${next}`)));
    }
    const others = complement(signs.map((sign): CodeRange => [sign.codePointAt(0)!, sign.codePointAt(0)!]));
    options.push(sequence(characters(...others, ...toStart), rule("free-0")));
    rules.set(`free-${i}`, choice(...options));
  }
  return rule("free-0");
}

/** Length of the longest beginning of the mark that the text ends with. */
function longestBeginning(mark: string, read: string): number {
  for (let length = Math.min(mark.length, read.length); length > 0; length -= 1) {
    if (read.endsWith(mark.slice(0, length))) return length;
  }
  return 0;
}

function plainMessage(message: TemplateMessage, format: CallFormat): TemplateMessage {
  const { role, content, tool_calls: calls = [] } = message;
  if (role === "tool") return { role: "user", content: format.result(content) };
  if (calls.length === 0) return { role, content };
  const written = format.write(calls.map((call) => call.function));
  return { role, content: content.trim() === "" ? written : `${content.trim()}\n${written}` };
}
