/**
 * The equations of Llama in slow float64, each with its derivative by hand. Nothing of the engine is used here:
 * the engine is measured against it.
 *
 * Arrays are row-major, outermost dimension first. dy is the gradient of a loss L by the op's output, and every
 * backward function returns L's gradients by the op's inputs.
 */

/** y = x wᵀ. x `[n, k]`, w `[m, k]` -> `[n, m]` */
export function matmul(x: Float64Array, w: Float64Array, k: number): Float64Array {
  const [n, m] = [x.length / k, w.length / k];
  const y = new Float64Array(n * m);
  for (let i = 0; i < n; i += 1) {
    for (let j = 0; j < m; j += 1) {
      let sum = 0;
      for (let c = 0; c < k; c += 1) sum += x[i * k + c]! * w[j * k + c]!;
      y[i * m + j] = sum;
    }
  }
  return y;
}

/** dx = dy w, dw = dyᵀ x. */
export function matmulBackward(
  x: Float64Array,
  w: Float64Array,
  k: number,
  dy: Float64Array,
): [dx: Float64Array, dw: Float64Array] {
  const [n, m] = [x.length / k, w.length / k];
  const [dx, dw] = [new Float64Array(x.length), new Float64Array(w.length)];
  for (let i = 0; i < n; i += 1) {
    for (let j = 0; j < m; j += 1) {
      const d = dy[i * m + j]!;
      for (let c = 0; c < k; c += 1) {
        dx[i * k + c]! += d * w[j * k + c]!;
        dw[j * k + c]! += d * x[i * k + c]!;
      }
    }
  }
  return [dx, dw];
}

export function add(a: Float64Array, b: Float64Array): Float64Array {
  return a.map((x, i) => x + b[i]!);
}

export function mul(a: Float64Array, b: Float64Array): Float64Array {
  return a.map((x, i) => x * b[i]!);
}

/** log(1 + eˣ), by the larger of the two so that nothing overflows. */
export function softplus(x: Float64Array): Float64Array {
  return x.map((value) => Math.max(value, 0) + Math.log1p(Math.exp(-Math.abs(value))));
}

export function softplusBackward(x: Float64Array, dy: Float64Array): Float64Array {
  return x.map((value, i) => dy[i]! * sigmoid(value));
}

/** SiLU(x) = x σ(x) (Elfwing et al. 2018). */
export function silu(x: Float64Array): Float64Array {
  return x.map((value) => value * sigmoid(value));
}

/** SiLU'(x) = σ(x) (1 + x (1 - σ(x))). */
export function siluBackward(x: Float64Array, dy: Float64Array): Float64Array {
  return x.map((value, i) => dy[i]! * sigmoid(value) * (1 + value * (1 - sigmoid(value))));
}

/** SwiGLU's inside, SiLU(gate) · up (Shazeer 2020, eq. 6). */
export function swiglu(gate: Float64Array, up: Float64Array): Float64Array {
  return mul(silu(gate), up);
}

export function swigluBackward(
  gate: Float64Array,
  up: Float64Array,
  dy: Float64Array,
): [dgate: Float64Array, dup: Float64Array] {
  return [siluBackward(gate, mul(dy, up)), mul(dy, silu(gate))];
}

/** y = g · x / r, r = √(mean(x²) + ε), row by row (Zhang and Sennrich 2019, eq. 4). x `[n, dim]`, gain `[dim]` */
export function rmsNorm(x: Float64Array, gain: Float64Array, eps: number): Float64Array {
  const dim = gain.length;
  return mapRows(x, dim, (row) => {
    const r = rootMeanSquare(row, eps);
    return row.map((value, c) => (gain[c]! * value) / r);
  });
}

/** With u = dy · g: dx = u/r - x (u·x) / (dim r³), dg = Σ dy x/r over the rows. */
export function rmsNormBackward(
  x: Float64Array,
  gain: Float64Array,
  eps: number,
  dy: Float64Array,
): [dx: Float64Array, dgain: Float64Array] {
  const dim = gain.length;
  const dgain = new Float64Array(dim);
  const dx = mapRows(x, dim, (row, start) => {
    const r = rootMeanSquare(row, eps);
    let ux = 0;
    for (let c = 0; c < dim; c += 1) {
      ux += dy[start + c]! * gain[c]! * row[c]!;
      dgain[c]! += (dy[start + c]! * row[c]!) / r;
    }
    return row.map((value, c) => (dy[start + c]! * gain[c]!) / r - (value * ux) / (dim * r ** 3));
  });
  return [dx, dgain];
}

/**
 * Softmax of scale · x + mask, row by row. The mask's rows repeat.
 *
 * @param x `[..., queries, keys]`
 * @param mask 0, or -∞ for what must not be seen. `[queries, keys]`
 */
export function softmax(x: Float64Array, mask: ArrayLike<number>, scale: number, keys: number): Float64Array {
  return mapRows(x, keys, (row, start) => {
    const scores = row.map((value, c) => scale * value + mask[(start + c) % mask.length]!);
    const largest = scores.reduce((a, b) => Math.max(a, b));
    const powers = scores.map((score) => Math.exp(score - largest));
    const total = powers.reduce((a, b) => a + b);
    return powers.map((power) => power / total);
  });
}

/** dx = scale · y (dy - y·dy), from the output y. */
export function softmaxBackward(
  y: Float64Array,
  dy: Float64Array,
  scale: number,
  keys: number,
): Float64Array {
  return mapRows(y, keys, (row, start) => {
    const dot = row.reduce((sum, p, c) => sum + p * dy[start + c]!, 0);
    return row.map((p, c) => scale * p * (dy[start + c]! - dot));
  });
}

/** θᵢ = base^(-2i/headDim), the angle that pair i turns per position (Su et al. 2021, eq. 15). */
export function ropeFrequency(i: number, headDim: number, base: number): number {
  return base ** ((-2 * i) / headDim);
}

/** Where in the sequence each row stands, and how its heads are laid out. */
export interface Rotation {
  readonly positions: ArrayLike<number>;
  readonly headDim: number;
  readonly base: number;
}

/** RoPE: turns the pair (x₂ᵢ, x₂ᵢ₊₁) of every head by position · θᵢ (Su et al. 2021, eq. 34). x `[seq, heads, headDim]` */
export function rope(x: Float64Array, { positions, headDim, base }: Rotation): Float64Array {
  const y = new Float64Array(x.length);
  const rowLength = x.length / positions.length;
  for (let at = 0; at < x.length; at += 2) {
    const pair = (at % headDim) / 2;
    const angle = positions[Math.floor(at / rowLength)]! * ropeFrequency(pair, headDim, base);
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    y[at] = x[at]! * cos - x[at + 1]! * sin;
    y[at + 1] = x[at]! * sin + x[at + 1]! * cos;
  }
  return y;
}

/** A rotation's transpose is the rotation back. */
export function ropeBackward(dy: Float64Array, rotation: Rotation): Float64Array {
  return rope(dy, { ...rotation, positions: Array.from(rotation.positions, (position) => -position) });
}

/** Rows of a table. table `[rows, dim]`, indices `[n]` -> `[n, dim]` */
export function embedding(table: Float64Array, indices: ArrayLike<number>, dim: number): Float64Array {
  const y = new Float64Array(indices.length * dim);
  for (let i = 0; i < indices.length; i += 1) {
    const start = indices[i]! * dim;
    if (!(start >= 0 && start < table.length)) throw new RangeError(`row ${indices[i]} is not in the table`);
    y.set(table.subarray(start, start + dim), i * dim);
  }
  return y;
}

/** A row that was read twice receives both gradients. */
export function embeddingBackward(
  table: Float64Array,
  indices: ArrayLike<number>,
  dy: Float64Array,
): Float64Array {
  const dtable = new Float64Array(table.length);
  const dim = dy.length / indices.length;
  for (let at = 0; at < dy.length; at += 1) {
    dtable[indices[Math.floor(at / dim)]! * dim + (at % dim)]! += dy[at]!;
  }
  return dtable;
}

/** -log softmax(logits)[target] of every row, in nats. logits `[n, vocab]`, targets `[n]` -> `[n]` */
export function negativeLogLikelihood(logits: Float64Array, targets: ArrayLike<number>): Float64Array {
  const vocabSize = logits.length / targets.length;
  return Float64Array.from(targets, (target, i) => {
    const row = logits.subarray(i * vocabSize, (i + 1) * vocabSize);
    const largest = row.reduce((a, b) => Math.max(a, b));
    return Math.log(row.reduce((sum, x) => sum + Math.exp(x - largest), 0)) + largest - row[target]!;
  });
}

/** What to predict, and how much each prediction counts; 0 for not at all. Both `[n]`. */
export interface Targets {
  readonly targets: ArrayLike<number>;
  readonly weights: ArrayLike<number>;
}

/** Σᵢ wᵢ · (-log softmax(logitsᵢ)[targetᵢ]). logits `[n, vocab]` */
export function crossEntropy(logits: Float64Array, { targets, weights }: Targets): number {
  const nll = negativeLogLikelihood(logits, targets);
  return nll.reduce((sum, value, i) => (weights[i] === 0 ? sum : sum + weights[i]! * value), 0);
}

/** dlogitsᵢ = wᵢ (softmax(logitsᵢ) - onehot(targetᵢ)). */
export function crossEntropyBackward(logits: Float64Array, { targets, weights }: Targets): Float64Array {
  const vocabSize = logits.length / targets.length;
  const p = softmax(logits, [0], 1, vocabSize);
  return p.map((value, at) => {
    const i = Math.floor(at / vocabSize);
    return weights[i]! * (value - (at % vocabSize === targets[i] ? 1 : 0));
  });
}

/** dlogitsᵢ of Σᵢ dyᵢ · log softmax(logitsᵢ)[targetᵢ], with dy for the weights. */
export function logprobsBackward(
  logits: Float64Array,
  targets: ArrayLike<number>,
  dy: Float64Array,
): Float64Array {
  return crossEntropyBackward(logits, { targets, weights: dy }).map((value) => -value);
}

export function sum(x: Float64Array): number {
  return x.reduce((a, b) => a + b, 0);
}

// --- internal ---

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

function rootMeanSquare(row: Float64Array, eps: number): number {
  return Math.sqrt(row.reduce((total, value) => total + value * value, 0) / row.length + eps);
}

function mapRows(
  x: Float64Array,
  columns: number,
  f: (row: Float64Array, start: number) => Float64Array,
): Float64Array {
  const y = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += columns) {
    y.set(f(x.subarray(start, start + columns), start), start);
  }
  return y;
}
