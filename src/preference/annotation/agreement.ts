/** How far annotators agree, and how sure a share of wins is. */

/** Two people's choices on one item: which of the two answers, in the order of the first person's page. */
export interface ChoicePair {
  readonly first: "left" | "right";
  readonly second: "left" | "right";
}

export interface Agreement {
  readonly items: number;
  /** Share of the items on which both chose the same answer; 0 where there are none. */
  readonly share: number;
  /**
   * Gwet's AC1 (Gwet 2008, eq. 5-6), agreement beyond chance, 1 at most; 0 where there are no items:
   *
   *     (p_a - p_e) / (1 - p_e),    p_e = 2 π (1 - π),    π the share of choices that are "left"
   */
  readonly ac1: number;
}

export function agreement(pairs: readonly ChoicePair[]): Agreement {
  const items = pairs.length;
  if (items === 0) return { items, share: 0, ac1: 0 };
  const share = pairs.filter(({ first, second }) => first === second).length / items;
  const lefts = pairs
    .flatMap(({ first, second }) => [first, second])
    .filter((side) => side === "left").length;
  const pi = lefts / (2 * items);
  const byChance = 2 * pi * (1 - pi);
  return { items, share, ac1: (share - byChance) / (1 - byChance) };
}

export interface WinRate {
  readonly wins: number;
  readonly losses: number;
  readonly rate: number;
  /** Ends of the 95% interval of Wilson (1927), which stays within 0 and 1 and holds for few comparisons. */
  readonly low: number;
  readonly high: number;
}

export function winRate(wins: number, losses: number): WinRate {
  const n = wins + losses;
  if (n === 0) return { wins, losses, rate: 0.5, low: 0, high: 1 };
  const z = 1.959_963_984_540_054;
  const rate = wins / n;
  const centre = (rate + z ** 2 / (2 * n)) / (1 + z ** 2 / n);
  const half = (z / (1 + z ** 2 / n)) * Math.sqrt((rate * (1 - rate)) / n + z ** 2 / (4 * n ** 2));
  return { wins, losses, rate, low: Math.max(0, centre - half), high: Math.min(1, centre + half) };
}
