/**
 * What clouds ask of a container that serves a model: thin routes over those of OpenAI's API. The clouds ask for keys
 * themselves and pass none on, so these routes want none; they are there only when they are asked for.
 */

import { z } from "zod";
import { checked } from "../body.ts";
import { invalid } from "../problem.ts";
import { defineRoute, type Route, type RouteCall, type RouteContext, type RouteModule } from "../route.ts";
import { chatRoutes } from "./chat.ts";
import { completionRoutes } from "./completions.ts";

export const clouds = ["sagemaker", "azure", "huggingface", "vertex"] as const;
export type Cloud = (typeof clouds)[number];

/** @param environment of the process: Vertex names its routes there. */
export function cloudRoutes(
  cloud: Cloud,
  environment: Readonly<Record<string, string | undefined>>,
): RouteModule {
  switch (cloud) {
    case "sagemaker":
      return sageMaker;
    case "azure":
      return azureMl;
    case "huggingface":
      return huggingFace;
    case "vertex":
      return vertex(
        environment["AIP_PREDICT_ROUTE"] ?? "/predict",
        environment["AIP_HEALTH_ROUTE"] ?? "/vertex-health",
      );
  }
}

// --- internal ---

const AnyBody = z.record(z.string(), z.unknown());

/** `/ping` is asked until the container is killed, `/invocations` takes what clients send. */
const sageMaker: RouteModule = (context) => [
  probe("/ping", "Whether SageMaker may send requests", context),
  invocation("/invocations", "A request of SageMaker's: a chat or a plain completion", context),
];

/** Azure ML's probes are routes of its deployment's file: `/health` and `/ready` do. */
const azureMl: RouteModule = (context) => [
  invocation("/score", "A request of Azure ML's: a chat or a plain completion", context),
];

const Inputs = z.object({
  inputs: z.union([z.string(), z.array(z.string()).min(1)]),
  parameters: z
    .object({
      max_new_tokens: z.int().min(1).nullish(),
      temperature: z.number().min(0).nullish(),
      top_k: z.int().min(0).nullish(),
      top_p: z.number().min(0).max(1).nullish(),
      repetition_penalty: z.number().positive().nullish(),
      do_sample: z.boolean().nullish(),
      return_full_text: z.boolean().nullish(),
      seed: z.int().nullish(),
      stop: z.array(z.string()).nullish(),
    })
    .nullish(),
});

/** The text-generation task of Inference Endpoints. */
const huggingFace: RouteModule = (context) => [
  defineRoute({
    method: "post",
    path: "/",
    summary: "A request of Hugging Face's Inference Endpoints",
    isPublic: true,
    body: Inputs,
    answer: z.array(z.object({ generated_text: z.string() })),
    async handle({ c, body, ...call }) {
      const { inputs, parameters } = body;
      const request = {
        prompt: inputs,
        max_tokens: parameters?.max_new_tokens ?? 128,
        temperature: parameters?.do_sample === false ? 0 : parameters?.temperature,
        top_k: parameters?.top_k,
        top_p: parameters?.top_p,
        repeat_penalty: parameters?.repetition_penalty,
        seed: parameters?.seed,
        stop: parameters?.stop,
        echo: parameters?.return_full_text ?? true,
      };
      const answer = (await answerOf(context, request, { c, ...call })) as { choices: { text: string }[] };
      return c.json(answer.choices.map(({ text }) => ({ generated_text: text })));
    },
  }),
];

const Predictions = z.object({ predictions: z.array(z.unknown()) });

function vertex(predict: string, health: string): RouteModule {
  return (context) => [
    probe(health, "Whether Vertex AI may send requests", context),
    defineRoute({
      method: "post",
      path: predict,
      summary: "A request of Vertex AI's: instances, or the body of rawPredict",
      isPublic: true,
      body: AnyBody,
      answer: Predictions,
      async handle({ body, ...call }) {
        if (body["instances"] === undefined) return invoke(context, body, call);
        const { instances, parameters } = checked(body, Instances);
        if (instances.length > context.limits.inputs) throw invalid("too many instances", "instances");
        const predictions: unknown[] = [];
        for (const instance of instances) {
          predictions.push(await answerOf(context, { ...parameters, ...instance, stream: false }, call));
        }
        return call.c.json({ predictions });
      },
    }),
  ];
}

const Instances = z.object({ instances: z.array(AnyBody).min(1), parameters: AnyBody.nullish() });

function probe(path: string, summary: string, { isOpen }: RouteContext): Route {
  return {
    method: "get",
    path,
    summary,
    isPublic: true,
    handle: ({ c }) => c.json({ status: isOpen() ? "ready" : "stopping" }, isOpen() ? 200 : 503),
  };
}

function invocation(path: string, summary: string, context: RouteContext): Route {
  return defineRoute({
    method: "post",
    path,
    summary,
    isPublic: true,
    body: AnyBody,
    handle: ({ body, ...call }) => invoke(context, body, call),
  });
}

/** A chat completion where there are messages, else a plain one. */
async function invoke(
  context: RouteContext,
  body: Readonly<Record<string, unknown>>,
  call: Omit<RouteCall, "body">,
): Promise<Response> {
  const module = body["messages"] === undefined ? completionRoutes : chatRoutes;
  const route = module(context)[0]!;
  return route.handle({ ...call, body: checked(body, route.body!) });
}

async function answerOf(
  context: RouteContext,
  body: Readonly<Record<string, unknown>>,
  call: Omit<RouteCall, "body">,
): Promise<unknown> {
  return (await invoke(context, body, call)).json();
}
