/** Which files of a repository on the Hugging Face Hub a model needs. */

import { ConfigError } from "../errors/errors.ts";
import { nearestName } from "../errors/nearest.ts";

/** A file as the Hub lists it. */
export interface HubFile {
  readonly path: string;
  readonly bytes: number;
  /** Of the contents: SHA-256 for a large file, else git's hash of a blob, which is SHA-1. */
  readonly hash: string;
  readonly isLarge: boolean;
}

/**
 * The named file, with the other parts of its model; or a model's weights, as safetensors where there are such, else
 * PyTorch's, else a GGUF file, with the configuration and the tokenizer.
 *
 * @throws {ConfigError} when there is no such file, or no model, or several to choose from.
 */
export function filesToFetch(files: readonly HubFile[], repo: string, named?: string): HubFile[] {
  if (named !== undefined) return partsOf(named, files, repo);
  const root = files.filter(({ path }) => !path.includes("/"));
  const around = root.filter(({ path }) => beside.test(path));
  for (const weights of [/^model(-\d+-of-\d+)?\.safetensors$/, /^pytorch_model(-\d+-of-\d+)?\.bin$/]) {
    const found = root.filter(({ path }) => weights.test(path));
    if (found.length === 0) continue;
    const extension = found[0]!.path.endsWith(".bin") ? ".bin.index.json" : ".safetensors.index.json";
    const index = root.filter(({ path }) => path.endsWith(extension));
    return [...found, ...index, ...around];
  }
  const models = files.filter(({ path }) => path.endsWith(".gguf") && !isLaterPart(path));
  const [only] = models.length === 1 ? models : models.filter(({ path }) => /q4_k_m/i.test(path));
  if (only !== undefined) return partsOf(only.path, files, repo);
  if (models.length === 0) {
    throw new ConfigError(`${repo} has no model that Cria reads: no .safetensors, .bin or .gguf file`, {
      mend: "Name another repository, one with a Llama in it.",
    });
  }
  throw new ConfigError(`${repo} has ${models.length} models: ${models.map(({ path }) => path).join(", ")}`, {
    mend: `Name one, for instance hf://${repo}:${models[0]!.path}.`,
  });
}

// --- internal ---

const beside =
  /^(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens)\.json$|^tokenizer\.model$|^chat_template\.jinja$/;

function isLaterPart(path: string): boolean {
  return /-(?!00001)\d{5}-of-\d{5}\.gguf$/.test(path);
}

function partsOf(named: string, files: readonly HubFile[], repo: string): HubFile[] {
  const parts = /^(.*)-\d{5}(-of-\d{5}\.gguf)$/s.exec(named);
  const found = files.filter(({ path }) => {
    if (parts === null) return path === named;
    return path.startsWith(`${parts[1]!}-`) && path.endsWith(parts[2]!);
  });
  if (found.some(({ path }) => path === named)) return found;
  const nearest = nearestName(
    named,
    files.map(({ path }) => path),
  );
  throw new ConfigError(`${repo} has no file ${JSON.stringify(named)}`, {
    mend:
      nearest === undefined
        ? "Look at its list of files on the Hub."
        : `Did you mean hf://${repo}:${nearest}?`,
  });
}
