/**
 * exp of what is never positive, for tens of thousands of logits at each token: three times the speed of Math.exp.
 * The argument is in steps of 1/64 of an octave downwards, so that its whole part can be a bin of a histogram too.
 */

export const stepsPerOctave = 64;
export const stepsPerNat = stepsPerOctave * Math.LOG2E;

/** The most steps that {@link massAfter} takes; a million masses further down are below 2^-44. */
export const furthestStep = 64 * stepsPerOctave;

/** ln 2 / 64, of one step. */
export const natsPerStep = Math.LN2 / stepsPerOctave;

/** 2^(-step / 64) for whole steps. */
export const powers: Float64Array = Float64Array.from(
  { length: furthestStep + 1 },
  (_, step) => 2 ** (-step / stepsPerOctave),
);

/**
 * 2^(-steps / 64), for steps in [0, furthestStep]: the whole steps from the table, and for the 1/128 of an octave at
 * most that is left, exp by its series. The relative error is below x⁴/24 < 2^-34; that of the logits is 2^-24.
 */
export function massAfter(steps: number): number {
  const step = (steps + 0.5) | 0;
  const x = (step - steps) * localNats;
  return localPowers[step]! * (1 + x * (1 + x * (1 / 2 + x * (1 / 6))));
}

// --- internal ---

// What is exported is looked up each time that it is used.
const localNats = natsPerStep;
const localPowers = powers;
