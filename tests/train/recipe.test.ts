import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { SpeedrunRecipe } from "../../src/cli/recipe-speedrun.ts";
import { presetConfig } from "../../src/model/presets.ts";
import { PretrainRecipe, batchTokens, modelConfigOf, trainingLength } from "../../src/pretrain/recipe.ts";
import { SftRecipe } from "../../src/sft/recipe.ts";
import { readRecipe, readRecipeRecord, recipeText, writeRecipe } from "../../src/train/recipe-file.ts";
import { printed } from "./printed.ts";

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "cria-recipe-"));
  path = join(folder, "recipe.yaml");
});
afterEach(() => rmSync(folder, { recursive: true }));

/** What is printed when a pretraining recipe of this text and these overrides is read. */
function refusal(yaml: string, ...overrides: string[]): string {
  writeFileSync(path, yaml);
  return printed(() => readRecipe(PretrainRecipe, path, overrides)).replaceAll(`${folder}/`, "");
}

describe("the defaults are the paper's", () => {
  test("pretraining: Llama 2 7B of Table 1 and §2.2", () => {
    expect(readRecipe(PretrainRecipe, undefined)).toMatchObject({
      model: "llama-2-7b",
      tokenizer: { vocab_size: 32_000, character_coverage: 0.99995 },
      seq_len: 4096,
      lr: 3e-4,
      warmup_steps: 2000,
      min_lr_ratio: 0.1,
      beta1: 0.9,
      beta2: 0.95,
      eps: 1e-5,
      weight_decay: 0.1,
      grad_clip: 1,
    });
  });

  test("a batch has 4M tokens, and 2T tokens are 476 838 of them", () => {
    const recipe = readRecipe(PretrainRecipe, undefined);
    expect(batchTokens(recipe)).toBe(4 * 2 ** 20);
    expect(trainingLength(recipe)).toEqual({ by: "steps", steps: 476_838 });
    expect(modelConfigOf(recipe, 32_000)).toEqual(presetConfig("llama-2-7b", 32_000));
  });

  test("fine-tuning: §3.1", () => {
    expect(readRecipe(SftRecipe, undefined, ["model=m", "data=d"])).toMatchObject({
      seq_len: 4096,
      batch_size: 64,
      epochs: 2,
      lr: 2e-5,
      weight_decay: 0.1,
    });
  });
});

describe("how long to train", () => {
  test("tokens become whole updates, rounded up", () => {
    const small = ["batch_size=2", "seq_len=8", "gradient_accumulation=1"];
    const lengths = [32, 33].map((tokens) =>
      trainingLength(readRecipe(PretrainRecipe, undefined, [...small, `tokens=${tokens}`])),
    );
    expect(lengths).toEqual([
      { by: "steps", steps: 2 },
      { by: "steps", steps: 3 },
    ]);
  });

  test("minutes stay minutes, steps stay steps", () => {
    expect(trainingLength(readRecipe(PretrainRecipe, undefined, ["minutes=0.5"]))).toEqual({
      by: "minutes",
      minutes: 0.5,
    });
    expect(trainingLength(readRecipe(PretrainRecipe, undefined, ["steps=7"]))).toEqual({
      by: "steps",
      steps: 7,
    });
  });

  test("two of them are refused", () => {
    expect(refusal("steps: 5\nminutes: 1\n")).toMatchInlineSnapshot(`
      "recipe.yaml:2: steps and minutes are both set, and each says how long to train
        Keep one of steps, minutes."
    `);
  });
});

describe("a model", () => {
  test("of one's own has the paper's defaults where it says nothing", () => {
    const recipe = readRecipe(PretrainRecipe, undefined, [
      "model={dim: 64, n_layers: 2, n_heads: 4}",
      "seq_len=128",
    ]);
    expect(modelConfigOf(recipe, 100)).toMatchObject({
      dim: 64,
      nKvHeads: 4,
      hiddenDim: 256,
      maxSeqLen: 4096,
      normEps: 1e-5,
      ropeTheta: 10_000,
      isTied: false,
      vocabSize: 100,
    });
  });

  test("is refused when the sequences are longer than its context", () => {
    const recipe = readRecipe(PretrainRecipe, undefined, ["model=tiny", "seq_len=512"]);
    expect(printed(() => modelConfigOf(recipe, 100))).toMatchInlineSnapshot(`
      "seq_len (512) is more than the model's context of 256
        Set seq_len to 256 or less, or model.max_seq_len to 512."
    `);
  });
});

describe("what is wrong is named with file and line, and what is right", () => {
  test("an unknown key, with the nearest known one", () => {
    expect(refusal("lr: 1e-3\nwarmup_stepz: 10\n")).toMatchInlineSnapshot(`
      "recipe.yaml:2: no setting is called "warmup_stepz"
        Did you mean warmup_steps?"
    `);
  });

  test("an unknown key that is near nothing, with all that there are", () => {
    expect(refusal("corpus:\n  flavour: salty\n")).toMatchInlineSnapshot(`
      "recipe.yaml:2: no setting is called "corpus.flavour"
        There are sources, validation_fraction, min_characters."
    `);
  });

  test("an unknown key within a list", () => {
    expect(refusal("corpus:\n  sources:\n    - from: a.txt\n    - form: b.txt\n")).toMatchInlineSnapshot(`
      "recipe.yaml:4: no setting is called "corpus.sources.1.form"
        Did you mean corpus.sources.1.from?"
    `);
  });

  test("a value of another type", () => {
    expect(refusal("seed: 1\nlr: fast\n")).toMatchInlineSnapshot(`
      "recipe.yaml:2: lr is "fast", not a number above 0
        Set lr to a number above 0. The default is 0.0003."
    `);
  });

  test("a value out of its range", () => {
    expect(refusal("beta2: 1\n")).toMatchInlineSnapshot(`
      "recipe.yaml:1: beta2 is 1, not a number of at least 0 and below 1
        Set beta2 to a number of at least 0 and below 1. The default is 0.95."
    `);
    expect(refusal("steps: 1.5\n")).toMatchInlineSnapshot(`
      "recipe.yaml:1: steps is 1.5, not a whole number above 0
        Set steps to a whole number above 0."
    `);
  });

  test("a choice that is none", () => {
    expect(refusal("precision: f16\n")).toMatchInlineSnapshot(`
      "recipe.yaml:1: precision is "f16", not "auto" or "bf16" or "f32"
        Set precision to "auto" or "bf16" or "f32". The default is "auto"."
    `);
  });

  test("one of several shapes, by the shape that was meant", () => {
    expect(refusal("model:\n  dim: 64\n  n_layers: two\n  n_heads: 4\n")).toMatchInlineSnapshot(`
      "recipe.yaml:3: model.n_layers is "two", not a whole number above 0
        Set model.n_layers to a whole number above 0."
    `);
    expect(refusal("model: 7\n")).toMatchInlineSnapshot(`
      "recipe.yaml:1: model is 7, not a text that is not empty or a map of dim, n_layers, n_heads, n_kv_heads, hidden_dim, max_seq_len, norm_eps, rope_theta, tie_embeddings
        Set model to a text that is not empty or a map of dim, n_layers, n_heads, n_kv_heads, hidden_dim, max_seq_len, norm_eps, rope_theta, tie_embeddings. The default is "llama-2-7b"."
    `);
    expect(refusal("tokenizer:\n  vocab_size: -1\n")).toMatchInlineSnapshot(`
      "recipe.yaml:2: tokenizer.vocab_size is -1, not a whole number above 0
        Set tokenizer.vocab_size to a whole number above 0. The default is 32000."
    `);
  });

  test("a missing value, at the key it is missing from", () => {
    expect(refusal("seed: 1\nmodel:\n  dim: 64\n  n_heads: 4\n")).toMatchInlineSnapshot(`
      "recipe.yaml:2: model.n_layers is missing
        Set it to a whole number above 0."
    `);
    expect(printed(() => readRecipe(SftRecipe, undefined, ["data=d"]))).toMatchInlineSnapshot(`
      "the recipe: model is missing
        Set it to a text that is not empty."
    `);
  });

  test("YAML that is none", () => {
    expect(refusal("lr: 1\n  - x: [\n")).toMatchInlineSnapshot(`
      "recipe.yaml:1: this is not YAML: Nested mappings are not allowed in compact mappings
        A recipe has one \`key: value\` on a line, with two spaces of indent for each level."
    `);
    expect(refusal("- a\n- b\n")).toMatchInlineSnapshot(`
      "recipe.yaml: a recipe is a map of settings, and this is ["a","b"]
        Write one \`key: value\` on a line."
    `);
    expect(refusal("lr: 1\nlr: 2\n")).toMatchInlineSnapshot(`
      "recipe.yaml:2: this setting is there twice
        Keep one of the two."
    `);
  });

  test("a file that is not there", () => {
    writeFileSync(path, "");
    expect(() => readRecipe(PretrainRecipe, join(folder, "recipe.yml"))).toThrow("recipe.yml");
  });
});

describe("overrides", () => {
  test("win over the file, the last over the first, and read their values as YAML", () => {
    writeFileSync(path, "lr: 1e-3\ncorpus:\n  min_characters: 5\n");
    const recipe = readRecipe(PretrainRecipe, path, [
      "lr=1",
      "lr=2e-4",
      "corpus.validation_fraction=0.5",
      "sample_prompts=[a, b=c]",
      "data=a=b",
    ]);
    expect(recipe).toMatchObject({
      lr: 2e-4,
      corpus: { min_characters: 5, validation_fraction: 0.5 },
      sample_prompts: ["a", "b=c"],
      data: "a=b",
    });
  });

  test("reach into lists", () => {
    writeFileSync(path, "corpus:\n  sources:\n    - from: a.txt\n");
    const recipe = readRecipe(PretrainRecipe, path, [
      "corpus.sources.0.weight=2",
      "corpus.sources.1={from: b.txt}",
    ]);
    expect(recipe.corpus.sources).toEqual([
      { from: "a.txt", weight: 2 },
      { from: "b.txt", weight: 1 },
    ]);
  });

  test("are checked as the file is, under their own name", () => {
    expect(refusal("", "betta1=0.5")).toMatchInlineSnapshot(`
      "--set betta1=0.5: no setting is called "betta1"
        Did you mean beta1?"
    `);
    expect(refusal("", "corpus.sorces=x")).toMatchInlineSnapshot(`
      "--set corpus.sorces=x: no setting is called "corpus.sorces"
        Did you mean corpus.sources?"
    `);
    expect(refusal("lr: 1\n", "lr=fast")).toMatchInlineSnapshot(`
      "--set lr=fast: lr is "fast", not a number above 0
        Set lr to a number above 0. The default is 0.0003."
    `);
    expect(refusal("", "lr")).toMatchInlineSnapshot(`
      "--set lr: there is no "key=value" in it
        Write for instance --set lr=1e-4 or --set tokenizer.vocab_size=512."
    `);
    expect(refusal("", "lr=")).toMatchInlineSnapshot(`
      "--set lr=: lr is null, not a number above 0
        Set lr to a number above 0. The default is 0.0003."
    `);
    expect(refusal("", "lr=[1")).toMatchInlineSnapshot(`
      "--set lr=[1: this is not YAML: Flow sequence must end with a ]
        A recipe has one \`key: value\` on a line, with two spaces of indent for each level."
    `);
    expect(refusal("model: mini\n", "model.dim=64")).toMatchInlineSnapshot(`
      "--set model.dim=64: model is "mini", which has no keys
        Set model as a whole: --set 'model={dim: …}'."
    `);
    expect(refusal("corpus:\n  sources: []\n", "corpus.sources.1000000000.from=x")).toMatchInlineSnapshot(`
      "--set corpus.sources.1000000000.from=x: the list has only 0 items
        Items count from 0: a new one is number 0."
    `);
  });

  test("cannot reach what is no setting", () => {
    for (const key of ["__proto__.x", "constructor.prototype.x", "toString", "lr.toFixed"]) {
      expect(refusal("", `${key}=1`)).toContain("no setting is called");
    }
    expect(Object.hasOwn(Object.prototype, "x")).toBe(false);
  });
});

describe("hostile files are refused at once", () => {
  test("a hundred thousand nested lists", () => {
    expect(refusal("[".repeat(100_000))).toContain("not YAML");
  });

  test("aliases that double twenty times", () => {
    const lines = Array.from({ length: 20 }, (_, i) => `a${i + 1}: &a${i + 1} [*a${i}, *a${i}]`);
    expect(refusal(["a0: &a0 [x]", ...lines].join("\n"))).toContain("not YAML");
  });

  test("a file of many megabytes", () => {
    expect(refusal(`# ${"x".repeat(2 ** 20)}`)).toMatchInlineSnapshot(`
      "recipe.yaml has 1048578 bytes, which is no recipe
        Give a recipe in YAML, such as recipes/speedrun.yaml."
    `);
  });
});

describe("a written recipe", () => {
  test("is read back as it was", () => {
    const recipe = readRecipe(PretrainRecipe, undefined, ["model=tiny", "steps=3", "threads=2"]);
    writeRecipe(path, recipe);
    expect(readRecipe(PretrainRecipe, path)).toEqual(recipe);
  });

  test("is the same text whatever order it was written in first", () => {
    const one = readRecipe(PretrainRecipe, undefined, ["lr=1", "steps=3"]);
    writeFileSync(path, "steps: 3\nlr: 1\n");
    expect(recipeText(readRecipe(PretrainRecipe, path))).toBe(recipeText(one));
  });

  test("keeps any plain record: write, then read, is the identity", () => {
    const leaf = fc.oneof(
      fc.string(),
      fc.integer(),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.boolean(),
    );
    const key = fc.string({ minLength: 1 }).filter((name) => name !== "__proto__");
    const record = fc.dictionary(key, fc.oneof(leaf, fc.array(leaf), fc.dictionary(key, leaf)));
    fc.assert(
      fc.property(record, (value) => {
        writeFileSync(path, recipeText(value));
        expect(JSON.stringify(readRecipeRecord(path))).toBe(JSON.stringify({ ...value }));
      }),
      { numRuns: 300 },
    );
  });
});

const recipes = fileURLToPath(new URL("../../recipes/", import.meta.url));
test.each(readdirSync(recipes).filter((name) => name.startsWith("speedrun")))(
  "recipes/%s is a speedrun's",
  (name) => {
    const { pretrain, sft } = readRecipe(SpeedrunRecipe, join(recipes, name));
    const { vocab_size: vocabSize } = pretrain.tokenizer as { vocab_size: number };
    expect(modelConfigOf(pretrain, vocabSize).maxSeqLen).toBeGreaterThanOrEqual(sft.seq_len);
    expect(sft.batch_size % sft.micro_batch_size).toBe(0);
    expect(readFileSync(join(recipes, name), "utf8")).toMatch(/^# (npm run|cria) speedrun/);
  },
);

test("recipes/faq.yaml goes on from what recipes/small.yaml makes", () => {
  const small = readRecipe(PretrainRecipe, join(recipes, "small.yaml"));
  const faq = readRecipe(SftRecipe, join(recipes, "faq.yaml"));
  const length = trainingLength(small) as { steps: number };
  expect(faq.model).toBe(`runs/small/checkpoints/step-${String(length.steps).padStart(8, "0")}`);
  expect(modelConfigOf(small, 1024).maxSeqLen).toBeGreaterThanOrEqual(faq.seq_len);
});
