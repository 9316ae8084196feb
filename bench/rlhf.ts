/** What reinforcement learning from human feedback costs: iterations of PPO. */

import type { BackendOptions } from "../src/tensor/backend.ts";
import type { BenchResult } from "./result.ts";
import { benchPpo } from "./rlhf-ppo.ts";

export async function benchRlhf(options: BackendOptions): Promise<BenchResult> {
  const ppo = await benchPpo(options);
  return { rows: ppo.rows, json: { ppo: ppo.json } };
}
