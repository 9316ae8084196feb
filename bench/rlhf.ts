/** What reinforcement learning from human feedback costs: the sampling of answers, and iterations of PPO. */

import type { BackendOptions } from "../src/tensor/backend.ts";
import type { BenchResult } from "./result.ts";
import { benchPpo } from "./rlhf-ppo.ts";
import { benchAnswers } from "./rlhf-sampling.ts";

export async function benchRlhf(options: BackendOptions): Promise<BenchResult> {
  const sampling = await benchAnswers(options);
  const ppo = await benchPpo(options);
  return {
    rows: [...sampling.rows, ...ppo.rows],
    json: { sampling: sampling.json, ppo: ppo.json },
  };
}
