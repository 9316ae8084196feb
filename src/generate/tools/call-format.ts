/** The marks around calls in a model's text. */

export interface CallFormat {
  /** Stands before a call, or before the list of them. */
  readonly open: string;
  /** Stands after each call; empty for a list. */
  readonly close: string;
  /** Whether the calls are one JSON list after a single mark. */
  readonly isList: boolean;
  /** Calls as the model writes them. */
  write(calls: readonly { readonly name: string; readonly arguments: string }[]): string;
  /** What a call returned, as a message of the user. */
  result(content: string): string;
}

/** Hermes' and Qwen's. */
export const hermesCalls: CallFormat = {
  open: "<tool_call>",
  close: "</tool_call>",
  isList: false,
  write: (calls) => calls.map((call) => `<tool_call>\n${object(call)}\n</tool_call>`).join("\n"),
  result: (content) => `<tool_response>\n${content}\n</tool_response>`,
};

/** Mistral's, from its version 0.3 on. */
export const mistralCalls: CallFormat = {
  open: "[TOOL_CALLS]",
  close: "",
  isList: true,
  write: (calls) => `[TOOL_CALLS] [${calls.map(object).join(", ")}]`,
  result: (content) => `[TOOL_RESULTS] ${content} [/TOOL_RESULTS]`,
};

/** The format that a chat template writes calls in. */
export function callFormatOf(template: string): CallFormat {
  return template.includes(mistralCalls.open) ? mistralCalls : hermesCalls;
}

// --- internal ---

function object(call: { readonly name: string; readonly arguments: string }): string {
  return `{"name": ${JSON.stringify(call.name)}, "arguments": ${call.arguments}}`;
}
