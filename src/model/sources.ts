import { openFile, type FileSource } from "../formats/file-source.ts";

/** Files that stay open while a model is read. */
export class Sources implements Disposable {
  readonly #open = new Map<string, FileSource>();

  open(file: string): FileSource {
    const known = this.#open.get(file) ?? openFile(file);
    this.#open.set(file, known);
    return known;
  }

  [Symbol.dispose](): void {
    for (const source of this.#open.values()) source[Symbol.dispose]();
    this.#open.clear();
  }
}
