/** Several sources of values, listened to at once. */

/** A value, and the place of the source that it came from. */
export interface Interleaved<T> {
  readonly lane: number;
  readonly value: T;
}

/**
 * All values of all sources, as they come. When one fails or nobody listens any more, the others are ended first.
 *
 * @yields each value with its source.
 */
export async function* interleaved<T>(
  sources: readonly AsyncGenerator<T, void>[],
): AsyncGenerator<Interleaved<T>> {
  const next = async (lane: number): Promise<{ lane: number; step: IteratorResult<T, void> }> => ({
    lane,
    step: await sources[lane]!.next(),
  });
  const waiting = new Map(sources.map((_, lane) => [lane, next(lane)]));
  try {
    while (waiting.size > 0) {
      const { lane, step } = await Promise.race(waiting.values());
      waiting.delete(lane);
      if (step.done === true) continue;
      waiting.set(lane, next(lane));
      yield { lane, value: step.value };
    }
  } finally {
    await Promise.allSettled(waiting.values());
    await Promise.allSettled(sources.map((source) => source.return()));
  }
}
