/** The library: what `import ... from "cria"` gives. */

export { ConfigError, CriaError, EngineError, FormatError, UseAfterFreeError } from "./errors/errors.ts";
