/** Messages as chat templates know them: also of tools, and of assistants that call them (OpenAI's names). */

export interface TemplateMessage {
  readonly role: "system" | "user" | "assistant" | "tool";
  readonly content: string;
  readonly tool_calls?: readonly TemplateToolCall[];
  /** Of a tool's message: which call it answers. */
  readonly tool_call_id?: string;
  readonly name?: string;
}

export interface TemplateToolCall {
  readonly id?: string;
  readonly type?: "function";
  readonly function: {
    readonly name: string;
    /** JSON. */
    readonly arguments: string;
  };
}
