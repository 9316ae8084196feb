/** `cria preferences export`: what was annotated and imported, to train on. */

import { ConfigError } from "../../errors/errors.ts";
import { exportComparisons } from "../../preference/annotation/export.ts";
import { writeComparisons } from "../../preference/write.ts";
import { checkBatches, openKnownStore, storeArguments } from "../annotation-options.ts";
import { defineCommand } from "../command.ts";
import { formatNumberOf } from "../terminal.ts";

export const preferencesExport = defineCommand({
  details:
    "Each comparison names who preferred, and says whether that was a person or a script; of imported ones, whoever the " +
    "data set names. Left out are items that an annotator flagged, and repeated ones, which are there for agreement.",
  args: {
    out: {
      type: "positional",
      required: true,
      description: "A .jsonl or .parquet file to write, in TRL's format",
    },
    ...storeArguments,
    batch: {
      type: "string",
      multiple: true,
      valueHint: "NAME",
      description: "Of these batches; of all by default",
    },
    split: { type: "string", choices: ["train", "test"], description: "Of batches for this alone" },
    quality: {
      type: "string",
      choices: ["helpfulness", "safety"],
      description: "Of batches about this alone",
    },
    format: {
      type: "string",
      choices: ["trl", "hh-rlhf"],
      default: "trl",
      description: "TRL's, which keeps everything, or transcripts",
    },
  },
  examples: [
    "cria preferences export train.jsonl --split train",
    'cria preferences export week-1.parquet --batch "v1 helpfulness train" --store annotations',
  ],
  async run({ out, store, batch, split, quality, format }, { stdout }) {
    await using database = await openKnownStore(store);
    await checkBatches(database, batch);
    const { comparisons, flagged, repeated, excluded } = await exportComparisons(database, {
      ...(batch.length === 0 ? {} : { batches: batch }),
      ...(split === undefined ? {} : { split: split === "test" ? "test" : "train" }),
      ...(quality === undefined ? {} : { quality: quality === "safety" ? "safety" : "helpfulness" }),
    });
    const left = [[flagged, "flagged"], [repeated, "repeated"], ...[...excluded].map(([why, n]) => [n, why])];
    if (comparisons.length === 0) {
      const reasons = left.flatMap(([count, why]) => (count === 0 ? [] : [`${count} ${why}`]));
      throw new ConfigError(
        `no comparison in ${database.name} is to be exported${reasons.length === 0 ? "" : ` (left out: ${reasons.join(", ")})`}`,
        { mend: "Compare first, or ask for other batches: `cria preferences stats` shows what there is." },
      );
    }
    writeComparisons(out, comparisons, format === "hh-rlhf" ? "hh-rlhf" : "trl");
    stdout.write(`${formatNumberOf(comparisons.length, "comparison")} in ${out}\n`);
    for (const [count, why] of left) if (count !== 0) stdout.write(`  ${count} left out: ${why}\n`);
  },
});
