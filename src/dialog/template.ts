/**
 * Chat templates: Jinja, as models bring it, run by @huggingface/jinja.
 *
 * A template is a program that comes with a model, so it is held to limits. Every value that it works out passes
 * through {@link BoundedInterpreter}, which counts steps and the items that loops go over, and refuses what grows too
 * large; so a loop without sensible end stops within about a second, and recursion at the end of the stack. What a
 * single step may cost beyond that ends at a deadline on the clock, which V8 itself keeps (`timeout` of node:vm).
 */

import { createContext, runInContext } from "node:vm";
import { Environment, Interpreter, Template } from "@huggingface/jinja";
import { ConfigError } from "../errors/errors.ts";

export interface TemplateProgram {
  readonly source: string;
  /**
   * @param variables what the template may use, beside `raise_exception`, `range` and `strftime_now`.
   * @throws {ConfigError} with the template's own words when it refuses, and when it fails or passes a limit.
   */
  render(variables: Readonly<Record<string, unknown>>): string;
}

/** @throws {ConfigError} for what is not Jinja. */
export function parseTemplate(source: string): TemplateProgram {
  if (source.length > longestSource) {
    throw new ConfigError(
      `a chat template of ${source.length} characters, of which ${longestSource} are read`,
      {
        mend,
      },
    );
  }
  const program = run("the chat template cannot be read", () => new Template(source).parsed as object);
  return {
    source,
    render: (variables) => run("the chat template fails", () => rendered(program, variables)),
  };
}

// --- internal ---

/** Templates have some thousand characters. */
const longestSource = 2 ** 18;
/** Of a text, or of all texts in a list: a conversation that fills a long context has some hundred thousand. */
const mostCharacters = 2 ** 22;
/** A conversation of a thousand messages takes some fifty thousand. */
const mostSteps = 500_000;
/** The package makes a scope of its own for each item that a loop goes over. */
const stepsOfItem = 20;
const deadlineMs = 2000;

const mend = "Give another with --chat-template, or remove it from the model: Llama 2's is used then.";

/** A value of the template's: its kind, and what it is in JavaScript. */
interface Value {
  readonly type: string;
  readonly value: unknown;
}

/** The package's types do not resolve under Node's rules, so these say what is used. */
const InterpreterOfValues = Interpreter as unknown as new (environment: object) => {
  run(program: object): Value;
  evaluate(statement: object | undefined, environment: object): Value;
};
const NewEnvironment = Environment as unknown as new () => { set(name: string, value: unknown): void };

function rendered(program: object, variables: Readonly<Record<string, unknown>>): string {
  const environment = new NewEnvironment();
  const globals = {
    true: true,
    false: false,
    none: null,
    True: true,
    False: false,
    None: null,
    range: boundedRange,
    strftime_now: undefined,
    raise_exception(reason: unknown): never {
      throw new TemplateRefusal(String(reason));
    },
    ...variables,
  };
  for (const [name, value] of Object.entries(globals)) {
    if (value !== undefined) environment.set(name, value);
  }
  return String(new BoundedInterpreter(environment, program).run(program).value);
}

class TemplateRefusal extends Error {}

/** Nothing stays in it from one run to the next, and it takes a millisecond to make. */
const sandbox: { body?: unknown } = {};
createContext(sandbox);

/** Runs it until the deadline, and says what went wrong as an error of ours. */
function run<T>(what: string, body: () => T): T {
  try {
    sandbox.body = body;
    return runInContext("body()", sandbox, { timeout: deadlineMs }) as T;
  } catch (cause) {
    throw cause instanceof ConfigError ? cause : asConfigError(what, cause);
  } finally {
    delete sandbox.body;
  }
}

function asConfigError(what: string, cause: unknown): ConfigError {
  if (cause instanceof TemplateRefusal) {
    return new ConfigError(`the chat template refuses the conversation: ${cause.message}`, {
      cause,
      mend: "Change the messages so that the model's format can say them.",
    });
  }
  const reason = cause instanceof RangeError ? "it nests too deep or grows too large" : messageOf(cause);
  return new ConfigError(`${what}: ${reason}`, { cause, mend });
}

function messageOf(cause: unknown): string {
  const message = cause instanceof Error || isErrorLike(cause) ? cause.message : String(cause);
  return /timed out/.test(message)
    ? `it takes more than ${deadlineMs / 1000} seconds`
    : message.slice(0, 300);
}

/** Errors of the context that it runs in are of another class. */
function isErrorLike(value: unknown): value is { readonly message: string } {
  return (
    typeof value === "object" && value !== null && "message" in value && typeof value.message === "string"
  );
}

/** Python's, of at most as many numbers as a loop may go over. */
function boundedRange(first: number, second?: number, step = 1): number[] {
  const [from, to] = second === undefined ? [0, first] : [first, second];
  const length = Math.max(0, Math.ceil((to - from) / step));
  if (!(length <= mostItems)) throw tooMuch(`range() of ${length} numbers`);
  return Array.from({ length }, (_, i) => from + i * step);
}

const mostItems = 10_000;

function tooMuch(what: string): ConfigError {
  return new ConfigError(`the chat template passes a limit: ${what}`, { mend });
}

class BoundedInterpreter extends InterpreterOfValues {
  #steps = 0;
  readonly #sizes = new WeakMap<object, number>();
  /** Expressions that loops go over: each item costs, also where the loop does nothing with it. */
  readonly #iterables: ReadonlySet<unknown>;

  constructor(environment: object, program: object) {
    super(environment);
    this.#iterables = iterablesOf(program);
  }

  override evaluate(statement: object | undefined, environment: object): Value {
    const value = super.evaluate(statement, environment);
    const size = this.#sizeOf(value);
    if (size > mostCharacters) throw tooMuch(`a value of more than ${mostCharacters} characters`);
    // Long texts take long to handle, but not as long as a loop over their like.
    this.#steps +=
      1 + (this.#iterables.has(statement) ? stepsOfItem * countOf(value) : Math.floor(size / 256));
    if (this.#steps > mostSteps) throw tooMuch(`more than ${mostSteps} steps`);
    return value;
  }

  /** Characters of texts, and one for everything else; what a list holds twice counts twice. */
  #sizeOf(value: Value): number {
    const content: unknown = value.value;
    if (typeof content === "string") return content.length;
    if (typeof content !== "object" || content === null) return 1;
    // A namespace changes, and may hold itself.
    if (value.type === "NamespaceValue") return 1;
    const known = this.#sizes.get(content);
    if (known !== undefined) return known;
    let size = 1;
    const items = (content instanceof Map ? content.values() : content) as Iterable<Value>;
    for (const item of items) size += 1 + this.#sizeOf(item);
    this.#sizes.set(content, size);
    return size;
  }
}

function countOf({ value }: Value): number {
  if (Array.isArray(value)) return value.length;
  return value instanceof Map ? value.size : 0;
}

function iterablesOf(program: object): ReadonlySet<unknown> {
  const found = new Set<unknown>();
  const open: unknown[] = [program];
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    if (typeof node !== "object" || node === null) continue;
    const { type, iterable } = node as { readonly type?: unknown; readonly iterable?: object };
    if (type === "For" && iterable !== undefined) {
      found.add(iterable);
      if ("lhs" in iterable) found.add(iterable.lhs);
    }
    for (const child of node instanceof Map ? [...node.keys(), ...node.values()] : Object.values(node)) {
      if (typeof child === "object" && child !== null) open.push(child);
    }
  }
  return found;
}
