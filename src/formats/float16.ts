/**
 * f32 to and from the two 16-bit floats of weight files, over whole arrays. 16-bit values travel as their bits.
 *
 * Rounding is to nearest, ties to even (IEEE 754-2019 §4.3.1), as in ggml and PyTorch. A NaN stays a NaN of the
 * same sign. Values beyond the range become infinite; f16's subnormals are kept.
 */

/** bf16: the upper half of an f32 (8 bits of exponent, 7 of fraction). */
export function f32ToBf16(x: Float32Array): Uint16Array {
  const bits = new Int32Array(x.buffer, x.byteOffset, x.length);
  const halves = new Uint16Array(x.length);
  for (let i = 0; i < bits.length; i += 1) {
    const b = bits[i]!;
    // A NaN whose set bits all lie in the lower half would turn into infinity.
    const isNan = (b & 0x7fff_ffff) > 0x7f80_0000;
    halves[i] = isNan ? (b >>> 16) | 0x40 : (b + 0x7fff + ((b >>> 16) & 1)) >>> 16;
  }
  return halves;
}

/** Exact. @param out where to put the result; of the same length. */
export function bf16ToF32(x: Uint16Array, out: Float32Array = new Float32Array(x.length)): Float32Array {
  const bits = new Int32Array(out.buffer, out.byteOffset, x.length);
  for (let i = 0; i < bits.length; i += 1) bits[i] = x[i]! << 16;
  return out;
}

/** f16: IEEE binary16 (5 bits of exponent, 10 of fraction); from 65520 on the result is infinite. */
export function f32ToF16(x: Float32Array): Uint16Array {
  const bits = new Int32Array(x.buffer, x.byteOffset, x.length);
  const halves = new Uint16Array(x.length);
  for (let i = 0; i < bits.length; i += 1) {
    const b = bits[i]!;
    const sign = (b >>> 16) & 0x8000;
    const magnitude = b & 0x7fff_ffff;
    if (magnitude >= smallestNormal && magnitude < beyondRange) {
      // Rebias the exponent from 127 to 15; a carry out of the fraction moves it up, at the top to infinity.
      halves[i] = sign | ((magnitude - rebias + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
    } else if (magnitude < smallestNormal) {
      // Subnormals count in units of 2^-24; at 2^52 a double holds whole numbers, so the sum rounds.
      halves[i] = sign | (Math.abs(x[i]!) * 2 ** 24 + 2 ** 52 - 2 ** 52);
    } else {
      halves[i] = sign | (magnitude > infinity ? 0x7e00 | ((magnitude >>> 13) & 0x3ff) : 0x7c00);
    }
  }
  return halves;
}

/** Exact. @param out where to put the result; of the same length. */
export function f16ToF32(x: Uint16Array, out: Float32Array = new Float32Array(x.length)): Float32Array {
  const bits = new Int32Array(out.buffer, out.byteOffset, x.length);
  for (let i = 0; i < bits.length; i += 1) {
    const half = x[i]!;
    const sign = (half & 0x8000) << 16;
    const magnitude = half & 0x7fff;
    if (magnitude >= 0x400 && magnitude < 0x7c00) bits[i] = sign | ((magnitude << 13) + rebias);
    else if (magnitude >= 0x7c00) bits[i] = sign | infinity | ((magnitude & 0x3ff) << 13);
    else out[i] = (sign === 0 ? magnitude : -magnitude) * 2 ** -24;
  }
  return out;
}

// --- internal ---

/** Magnitudes as the bits of an f32. */
const smallestNormal = 0x3880_0000; // 2^-14, f16's
const beyondRange = 0x4780_0000; // 2^16
const infinity = 0x7f80_0000;
/** 127 - 15, the difference of the exponents' biases, where an f32 has its exponent. */
const rebias = 112 << 23;
