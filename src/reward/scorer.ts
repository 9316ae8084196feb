/** Scores of answers, many at a time: rows of about equal length go through the model together. */

import { causalAttention, causalMask } from "../model/attention.ts";
import { scalars } from "../model/heads.ts";
import { finalStates } from "../model/llama.ts";
import { lanesFor } from "../model/lanes.ts";
import { openWeights, readModelFiles } from "../model/load.ts";
import type { LlamaWeights } from "../model/weights.ts";
import { openBackend, type Backend, type BackendOptions, type Lane } from "../tensor/backend.ts";
import { Graph, type Precision } from "../tensor/graph.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { tokenizerOfModel } from "../tokenizer/open.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { encodeAnswer, paddedLength } from "./encode.ts";
import type { RewardFunction } from "./reward-function.ts";

export interface ScorerOptions {
  /** Of products with f32 weights; f32 when left out. Stored weights keep the type that they have. */
  readonly precision?: Precision;
  /** Longest conversation with its answer, in tokens, longer ones losing their beginning; the context when left out. */
  readonly longest?: number;
}

/** A reward model in memory. */
export interface Scorer extends Disposable {
  /** r(x, y) of each answer, before any sigmoid. */
  readonly score: RewardFunction;
  readonly tokenizer: Tokenizer;
  /** The same of token rows, read at each row's last token. `[rows]` */
  scoreTokens(rows: readonly Int32Array[], signal?: AbortSignal): Promise<Float64Array>;
}

/**
 * Opens a reward model's directory; the caller disposes it.
 *
 * @throws {FormatError} when the model has no scalar head.
 */
export function openRewardModel(path: string, options: BackendOptions & ScorerOptions = {}): Scorer {
  const files = readModelFiles(path, "scalar");
  const tokenizer = tokenizerOfModel(path, files.config.vocabSize);
  const backend = openBackend(options);
  try {
    const weights = openWeights(backend, files);
    const scorer = createScorer(backend, weights, tokenizer, options);
    return {
      ...scorer,
      [Symbol.dispose]() {
        scorer[Symbol.dispose]();
        weights[Symbol.dispose]();
        backend[Symbol.dispose]();
      },
    };
  } catch (error) {
    backend[Symbol.dispose]();
    throw error;
  }
}

/** A scorer of weights that somebody else owns, such as a model in training; disposed before them. */
export function createScorer(
  backend: Backend,
  weights: LlamaWeights,
  tokenizer: Tokenizer,
  { precision = "f32", longest = weights.config.maxSeqLen }: ScorerOptions = {},
): Scorer {
  const lanes = lanesFor(backend, weights);
  const passes = new Map<string, ScorePass>();
  const passOf = (rows: number, seq: number, index: number): ScorePass => {
    const key = `${rows} ${seq} ${index}`;
    const lane = { index, of: lanes };
    const known = passes.get(key) ?? buildPass(backend, weights, { rows, seq, precision, lane });
    // The one that was used last stands last; the first goes when there are too many.
    passes.delete(key);
    passes.set(key, known);
    if (passes.size > mostPasses * lanes) {
      const [oldest, pass] = passes.entries().next().value!;
      passes.delete(oldest);
      pass.graph[Symbol.dispose]();
    }
    return known;
  };
  let last: Promise<unknown> = Promise.resolve();
  const scoreTokens: Scorer["scoreTokens"] = (rows, signal) => {
    // Calls take turns: they share the graphs' inputs.
    const run = last.then(() => scoreAll(rows, { longest, padId: tokenizer.unkId, lanes, passOf }, signal));
    last = run.catch(() => undefined);
    return run;
  };
  return {
    tokenizer,
    scoreTokens,
    score: (answers, signal) =>
      scoreTokens(
        answers.map(({ prompt, answer }) => encodeAnswer(prompt, answer, tokenizer, longest)),
        signal,
      ),
    [Symbol.dispose]() {
      for (const { graph } of passes.values()) graph[Symbol.dispose]();
      passes.clear();
    },
  };
}

// --- internal ---

/** Graphs that are kept in a lane, each for a count and a length of rows. */
const mostPasses = 16;
/** Tokens that are computed at once, about. */
const passTokens = 4096;

interface ScorePass {
  readonly graph: Graph;
  /** `[rows · seq]` */
  readonly tokens: Tensor;
  /** Where the rows end. `[rows]` */
  readonly ends: Tensor;
  /** `[rows]` */
  readonly scores: Tensor;
}

interface PassSize {
  readonly rows: number;
  readonly seq: number;
  readonly precision: Precision;
  readonly lane: Lane;
}

function buildPass(backend: Backend, weights: LlamaWeights, size: PassSize): ScorePass {
  const { rows, seq, precision, lane } = size;
  const { config } = weights;
  const graph = new Graph("scores", backend, { precision, capacity: 512 + 64 * config.nLayers, lane });
  try {
    const tokens = graph.input([rows * seq], { dtype: "i32", limit: config.vocabSize });
    const ends = graph.input([rows], { dtype: "i32", limit: rows * seq });
    const positions = graph.constant(
      Int32Array.from({ length: seq }, (_, i) => i),
      [seq],
      { dtype: "i32" },
    );
    const mask = causalMask(graph, seq);
    graph.isRecording = false;
    const states = finalStates(graph, weights, {
      batch: rows,
      seq,
      tokens,
      positions,
      wanted: ends,
      attend: (inputs) => causalAttention(graph, inputs, mask),
    });
    const scores = graph.output(scalars(graph, states, weights.head));
    graph.allocate();
    return { graph, tokens, ends, scores };
  } catch (error) {
    graph[Symbol.dispose]();
    throw error;
  }
}

interface ScoreContext {
  readonly longest: number;
  /** Fills rows up; it is never looked at. */
  readonly padId: number;
  readonly lanes: number;
  readonly passOf: (rows: number, seq: number, lane: number) => ScorePass;
}

/** Rows of about one length. */
interface ScoreChunk {
  readonly seq: number;
  /** Places in the list of all rows. */
  readonly rows: readonly number[];
}

async function scoreAll(
  rows: readonly Int32Array[],
  { longest, padId, lanes, passOf }: ScoreContext,
  signal: AbortSignal | undefined,
): Promise<Float64Array> {
  const scores = new Float64Array(rows.length);
  const chunks = chunksOf(rows, longest);
  const runLane = async (lane: number): Promise<void> => {
    for (let i = lane; i < chunks.length; i += lanes) {
      const { seq, rows: taken } = chunks[i]!;
      const pass = passOf(taken.length, seq, lane);
      const tokens = new Int32Array(taken.length * seq).fill(padId);
      for (const [place, row] of taken.entries()) tokens.set(rows[row]!, place * seq);
      pass.tokens.write(tokens);
      pass.ends.write(Int32Array.from(taken, (row, place) => place * seq + rows[row]!.length - 1));
      await pass.graph.compute(signal);
      for (const [place, score] of pass.scores.readF32().entries()) scores[taken[place]!] = score;
    }
  };
  const runs = await Promise.allSettled(Array.from({ length: lanes }, (_, lane) => runLane(lane)));
  // Only now: no lane may run on when the caller frees what it reads.
  for (const run of runs) if (run.status === "rejected") throw run.reason;
  return scores;
}

function chunksOf(rows: readonly Int32Array[], longest: number): ScoreChunk[] {
  const byLength = rows.map((_, i) => i).toSorted((a, b) => rows[a]!.length - rows[b]!.length);
  const chunks: ScoreChunk[] = [];
  while (byLength.length > 0) {
    const seq = paddedLength(rows[byLength.at(-1)!]!.length, longest);
    const most = Math.max(1, Math.floor(passTokens / seq));
    // Powers of two, so that few graphs serve all counts.
    const count = 2 ** Math.floor(Math.log2(Math.min(most, byLength.length)));
    chunks.push({ seq, rows: byLength.splice(byLength.length - count) });
  }
  return chunks;
}
