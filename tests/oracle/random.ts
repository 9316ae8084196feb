/** Numbers that look random and are the same everywhere. */

/** Uniform in [0, 1), 32 bits at a time (mulberry32: Weyl sequence and a mixing function). */
export function uniforms(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Normal with mean 0 and deviation 1 (Box and Muller 1958). */
export function normals(seed: number): () => number {
  const uniform = uniforms(seed);
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

/** Normal numbers that f32 holds exactly, so that the engine and the oracle start from the same ones. */
export function randomArray(length: number, next: () => number, deviation = 1): Float64Array {
  return Float64Array.from({ length }, () => Math.fround(deviation * next()));
}
