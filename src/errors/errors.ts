/**
 * The errors a user of Cria can meet. Each says what is wrong, with the values, and then the mend.
 * Only `cli/main.ts` catches them, prints them and sets the exit code.
 */

export interface ErrorDetails {
  /** One sentence that tells the user what to do about it. */
  readonly mend?: string;
  readonly cause?: unknown;
}

/** What all of Cria's errors share: a message and a mend. The only base class in the project. */
export abstract class CriaError extends Error {
  /** What to do about it; empty when nothing can be done. */
  readonly mend: string;

  constructor(message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.mend = details.mend ?? "";
  }
}

/** A setting, an argument or a shape that cannot be right. */
export class ConfigError extends CriaError {}

export interface FormatErrorDetails extends ErrorDetails {
  /** The file (or stream) that was being read. */
  readonly file?: string;
  /** Where in it, in bytes from its start. */
  readonly offset?: number;
}

/** Bytes that are not what their format says: truncated, hostile, or of another version. Has a mend in any case. */
export class FormatError extends CriaError {
  readonly file: string | undefined;
  readonly offset: number | undefined;

  constructor(message: string, details: FormatErrorDetails = {}) {
    const place = [details.file, details.offset === undefined ? undefined : `byte ${details.offset}`]
      .filter((part) => part !== undefined)
      .join(", ");
    super(place === "" ? message : `${place}: ${message}`, {
      mend: "The file is damaged, was cut short or is of another kind: fetch or copy it again.",
      ...details,
    });
    this.file = details.file;
    this.offset = details.offset;
  }
}

export interface EngineErrorDetails extends ErrorDetails {
  /** The C function that failed. */
  readonly call?: string;
}

/** The native engine is missing, refused a request, or ran out of memory. */
export class EngineError extends CriaError {
  readonly call: string | undefined;

  constructor(message: string, details: EngineErrorDetails = {}) {
    super(details.call === undefined ? message : `${details.call}: ${message}`, details);
    this.call = details.call;
  }
}

/** Native memory was read after its owner freed it. */
export class UseAfterFreeError extends CriaError {}
