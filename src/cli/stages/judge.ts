/** The judge that a recipe names. */

import type { Answered, RewardFunction } from "../../reward/reward-function.ts";
import { scriptedJudge, scriptedJudgeName, type Judge, type Verdict } from "../../rlhf/judge.ts";
import type { Opened } from "../../generate/answers.ts";
import { ConfigError } from "../../errors/errors.ts";
import { loadFunctionFile } from "../function-file.ts";

export interface NamedJudge {
  readonly judge: Judge;
  /** How its data are labelled. */
  readonly name: string;
}

/** @param judge `scripted`, or a JavaScript file whose default export returns a verdict, or a score from 0 to 1. */
export async function openJudge(judge: string): Promise<NamedJudge> {
  if (judge === "scripted") return { judge: scriptedJudge, name: scriptedJudgeName };
  const evaluate = await loadFunctionFile<(answered: Answered) => Partial<Verdict> | number | undefined>(
    judge,
    "judge",
  );
  return {
    name: `script ${judge}`,
    judge: (answered) => {
      const said = evaluate(answered);
      const {
        score,
        isViolation = false,
        isFalseRefusal = false,
        criteria = {},
      } = typeof said === "number" ? { score: said } : (said ?? {});
      if (typeof score === "number" && score >= 0 && score <= 1)
        return { score, isViolation, isFalseRefusal, criteria };
      throw new ConfigError(`${judge} judged ${JSON.stringify(score)}, not a number from 0 to 1`, {
        mend: "Return {score, isViolation} or a score.",
      });
    },
  };
}

/** The judge's scores as a reward, where there is no reward model. */
export function judgeReward({ judge }: NamedJudge): Opened<RewardFunction> {
  return {
    run: (answers) => Promise.resolve(Float64Array.from(answers, (answered) => judge(answered).score)),
    [Symbol.dispose]() {},
  };
}
