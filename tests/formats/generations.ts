/**
 * A writer to be killed: replaces a file and a directory, generation after generation, until it is.
 * Arguments: the place to write in, the first generation. Prints the number of each generation that is done.
 */

import { writeSync } from "node:fs";
import { join } from "node:path";
import {
  writeAtomically,
  writeBytes,
  writeDirectoryAtomically,
  writeFileAtomically,
} from "../../src/formats/atomic-file.ts";

const [place, first] = [process.argv[2]!, Number(process.argv[3])];
for (let generation = first; ; generation += 1) {
  const content = Buffer.from(`${generation} `.repeat(20_000));
  writeAtomically(join(place, "file"), (fd) => {
    for (let at = 0; at < content.length; at += 10_000) writeBytes(fd, content.subarray(at, at + 10_000));
  });
  writeDirectoryAtomically(join(place, "directory"), (temporary) => {
    for (let i = 0; i < 4; i += 1) writeFileAtomically(join(temporary, `part-${i}`), content);
  });
  writeSync(1, `${generation}\n`);
}
