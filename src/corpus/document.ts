/** The unit of a corpus: one text, whole, with where it came from. */

export interface Document {
  /** Where it comes from: source and file. */
  readonly id: string;
  readonly text: string;
}
