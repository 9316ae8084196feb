/**
 * Where a model keeps its chat template: `chat_template.jinja` or `tokenizer_config.json` in a Hugging Face folder,
 * `tokenizer.chat_template` in a GGUF file.
 */

import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../errors/errors.ts";
import { decodeUtf8 } from "../formats/bytes.ts";
import { fileKind } from "../formats/file-kind.ts";
import { openFile } from "../formats/file-source.ts";
import { readGguf } from "../formats/gguf.ts";
import { isJsonObject, readJsonFile, type JsonObject, type JsonValue } from "../formats/json.ts";
import type { TemplateSource } from "./chat-format.ts";

/**
 * @param path of a model's folder or file.
 * @returns undefined when the model brings none.
 * @throws {FormatError} for a file that is damaged.
 */
export function readChatTemplate(path: string): TemplateSource | undefined {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return templateIn(path);
  using source = openFile(path);
  if (fileKind(source) !== "gguf") return undefined;
  const { metadata } = readGguf(source);
  const template = metadata.get("tokenizer.chat_template");
  if (typeof template !== "string" || template === "") return undefined;
  return { template, addsBos: metadata.get("tokenizer.ggml.add_bos_token") !== false };
}

/**
 * A template in a file of its own.
 *
 * @throws {ConfigError} when it is too large to be one.
 */
export function readTemplateFile(path: string): TemplateSource {
  using source = openFile(path);
  if (source.size > mostBytes) {
    throw new ConfigError(`${path} has ${source.size} bytes, which is no chat template`, {
      mend: "Give a Jinja template, such as the chat_template.jinja that came with a model.",
    });
  }
  return { template: decodeUtf8(source.read(0, source.size), path, 0) };
}

// --- internal ---

const mostBytes = 2 ** 20;

function templateIn(folder: string): TemplateSource | undefined {
  const config = configIn(folder);
  const settings = {
    ...(typeof config["add_bos_token"] === "boolean" ? { addsBos: config["add_bos_token"] } : {}),
    ...(typeof config["legacy"] === "boolean" ? { isLegacy: config["legacy"] } : {}),
  };
  const file = join(folder, "chat_template.jinja");
  if (existsSync(file)) return { ...settings, ...readTemplateFile(file) };
  const template = templateOf(config["chat_template"]);
  return template === undefined ? undefined : { ...settings, template };
}

function configIn(folder: string): JsonObject {
  const file = join(folder, "tokenizer_config.json");
  if (!existsSync(file)) return {};
  const config = readJsonFile(file);
  return isJsonObject(config) ? config : {};
}

/** A template, or several with names, of which the one for all uses is called "default". */
function templateOf(value: JsonValue | undefined): string | undefined {
  if (typeof value === "string") return value === "" ? undefined : value;
  if (!Array.isArray(value)) return undefined;
  const named = (value as readonly JsonValue[]).filter((one) => isJsonObject(one));
  const chosen = named.find((one) => one["name"] === "default") ?? named[0];
  return templateOf(chosen?.["template"]);
}
