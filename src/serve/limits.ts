/** What one request may take of the server. */

export interface ServerLimits {
  /** Of a request's body. */
  readonly bodyBytes: number;
  /** Of all text in one prompt, in characters. */
  readonly promptCharacters: number;
  /** Texts that one request may ask for. */
  readonly choices: number;
  /** Tokens that a text may have at most, whatever is asked for. */
  readonly maxTokens: number;
  /** From a request's first byte to its answer's last. */
  readonly requestSeconds: number;
  /** Texts to embed, or prompts to go on with, in one request. */
  readonly inputs: number;
}

export const defaultLimits: ServerLimits = {
  bodyBytes: 4 * 2 ** 20,
  promptCharacters: 2 ** 20,
  choices: 16,
  maxTokens: 2 ** 17,
  requestSeconds: 600,
  inputs: 256,
};
