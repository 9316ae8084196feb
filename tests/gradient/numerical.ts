/** Derivatives by differences, and how far two arrays lie apart: what every gradient check compares with. */

/**
 * dL/dθᵢ by central differences of fourth order:
 *
 *     (8 (L(θ + h) - L(θ - h)) - (L(θ + 2h) - L(θ - 2h))) / 12h
 *
 * The error is O(h⁴) by the formula and about 10⁻¹⁶ L/h by rounding; for weights of a Llama they balance near
 * h = 2⁻¹², where a gradient keeps some ten digits.
 *
 * @param loss must be a smooth function in float64; f32 differences are noise.
 */
export function numericalGradient(
  loss: (theta: Float64Array) => number,
  theta: Float64Array,
  h = 2 ** -12,
): Float64Array {
  const moved = theta.slice();
  return theta.map((value, i) => {
    const at = (x: number): number => {
      moved[i] = x;
      return loss(moved);
    };
    const slope = (8 * (at(value + h) - at(value - h)) - (at(value + 2 * h) - at(value - 2 * h))) / (12 * h);
    moved[i] = value;
    return slope;
  });
}

/**
 * max |aᵢ - bᵢ| / max |bᵢ|: the error as a share of the largest element of `b`, the reference, so that elements
 * near zero are not asked for digits they cannot have. NaN when either holds a NaN, which no bound accepts.
 */
export function maxRelativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new RangeError(`${a.length} elements against ${b.length}`);
  let error = 0;
  let largest = 0;
  for (let i = 0; i < a.length; i += 1) {
    error = Math.max(error, Math.abs(a[i]! - b[i]!));
    largest = Math.max(largest, Math.abs(b[i]!));
  }
  return error === 0 ? 0 : error / largest;
}
