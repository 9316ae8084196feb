import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { TemplateMessage } from "../../src/dialog/template-message.ts";
import {
  callFormatOf,
  hermesCalls,
  mistralCalls,
  parseToolCalls,
  ToolCallParser,
  toolGrammar,
  toolSystemText,
  withToolsInText,
  type ToolChoice,
  type ToolDefinition,
} from "../../src/generate/tools.ts";
import { parseGbnf } from "../../src/generate/grammar/gbnf.ts";
import { grammarOfSchema } from "../../src/generate/grammar/json-schema.ts";
import { printed } from "../dialog/printed.ts";
import { fits } from "./grammar/reading.ts";

const weather: ToolDefinition = {
  type: "function",
  function: {
    name: "weather",
    description: "The weather of a city",
    parameters: {
      type: "object",
      properties: { city: { $ref: "#/$defs/city" }, days: { type: "integer", minimum: 1, maximum: 9 } },
      required: ["city"],
      $defs: { city: { type: "string" } },
    },
  },
};
const now: ToolDefinition = { type: "function", function: { name: "now" } };
const tools = [weather, now];
const named: ToolChoice = { type: "function", function: { name: "now" } };

const call = (text: string): string => `<tool_call>\n${text}\n</tool_call>`;
const paris = call('{"name": "weather", "arguments": {"city": "Paris", "days": 3}}');
const clock = call('{"name": "now", "arguments": {}}');

describe("the grammar of an answer", () => {
  const fit = (choice: ToolChoice, text: string, isParallel = true): boolean =>
    fits(toolGrammar(tools, choice, { isParallel })!, text);

  test("auto: any text, and a call that is whole once it has begun", () => {
    for (const text of [
      "",
      "Hello.",
      "a <tool_ b <tool_cal",
      "<<tool_call",
      paris,
      `Let me see.\n${paris}`,
      `${paris}\n${clock}`,
    ]) {
      expect([text, fit("auto", text)]).toEqual([text, true]);
    }
    const wrong = [
      "<tool_call>",
      `x<tool_call>y`,
      call('{"name": "nope", "arguments": {}}'),
      `${paris} and text`,
    ];
    for (const text of [
      ...wrong,
      call('{"name": "weather", "arguments": {"days": 3}}'),
      `<<tool_call>${clock}`,
    ]) {
      expect([text, fit("auto", text)]).toEqual([text, false]);
    }
  });

  test("required: begins with a call", () => {
    expect(fit("required", paris)).toBe(true);
    expect(fit("required", `${clock}\n${paris}`)).toBe(true);
    expect(fit("required", "")).toBe(false);
    expect(fit("required", `Let me see. ${paris}`)).toBe(false);
  });

  test("one call where several are not wanted", () => {
    expect(fit("required", paris, false)).toBe(true);
    expect(fit("required", `${clock}\n${paris}`, false)).toBe(false);
  });

  test("a named function: one call of it", () => {
    expect(fit(named, clock)).toBe(true);
    expect(fit(named, paris)).toBe(false);
    expect(fit(named, `${clock}\n${clock}`)).toBe(false);
  });

  test("none, and no tools: any text will do", () => {
    expect(toolGrammar(tools, "none")).toBeUndefined();
    expect(toolGrammar([], "auto")).toBeUndefined();
  });

  test("with a format, auto: a call alone, or a text of the format alone", () => {
    const content = grammarOfSchema({ enum: ["a", 1] });
    const held = (choice: ToolChoice, text: string): boolean =>
      fits(toolGrammar(tools, choice, { content })!, text);
    for (const text of ['"a"', "1", paris, `${paris}\n${clock}`])
      expect([text, held("auto", text)]).toEqual([text, true]);
    for (const text of ["", "a", "2", `1 ${paris}`, `${paris} 1`, '"<tool_call>"'])
      expect([text, held("auto", text)]).toEqual([text, false]);
    // A call that must be is one, and without calls the format is left.
    expect(held("required", paris)).toBe(true);
    expect(held("required", "1")).toBe(false);
    expect(held("none", "1")).toBe(true);
    expect(held("none", paris)).toBe(false);
  });

  test("with a format whose rules have the names of its own", () => {
    const content = parseGbnf('root ::= call | string | calls\ncall ::= "c"\nstring ::= "s"\ncalls ::= "<t"');
    for (const text of ["c", "s", "<t", paris])
      expect([text, fits(toolGrammar(tools, "auto", { content })!, text)]).toEqual([text, true]);
    expect(fits(toolGrammar(tools, "auto", { content })!, "<tc")).toBe(false);
  });

  test("Mistral's list of calls", () => {
    const grammar = toolGrammar(tools, "auto", { format: mistralCalls })!;
    expect(fits(grammar, 'Well. [TOOL_CALLS] [{"name": "now", "arguments": {}}]')).toBe(true);
    expect(
      fits(grammar, '[TOOL_CALLS][{"name": "now", "arguments": {}}, {"name": "now", "arguments": {}}]'),
    ).toBe(true);
    expect(fits(grammar, "[TOOL_CALLS] []")).toBe(false);
    expect(callFormatOf("{{ '[TOOL_CALLS]' }}")).toBe(mistralCalls);
    expect(callFormatOf("{{ messages }}")).toBe(hermesCalls);
  });

  test("tools that cannot be", () => {
    const tool = (name: string, parameters?: unknown): ToolDefinition => ({
      type: "function",
      function: { name, parameters },
    });
    const refused = (list: ToolDefinition[], choice: ToolChoice = "auto"): string =>
      printed(() => toolGrammar(list, choice));
    const all = [
      refused([tool("two words")]),
      refused([now, now]),
      refused(Array.from({ length: 129 }, (_, i) => tool(`t${i}`))),
      refused([tool("t", { type: "object", properties: { a: { type: "string", pattern: "(?=a)" } } })]),
      refused([], "required"),
      refused(tools, { type: "function", function: { name: "wether" } }),
    ];
    expect(all.join("\n")).toMatchInlineSnapshot(`
      "ConfigError: tools[0] has the name "two words"
        A name has 1 to 64 letters, digits, underscores and hyphens.
      ConfigError: two tools have the name now
        Give each a name of its own.
      ConfigError: 129 tools, of which 128 are the most
        Offer fewer.
      ConfigError: the parameters of the tool t: JSON schema, #/properties/a/pattern: the pattern "(?=a)" has a look-around at 1, which is not supported
        Say the same without it, or with format, minLength or an enum.
      ConfigError: tool_choice asks for a call, and there are no tools
        Add tools, or leave it out.
      ConfigError: tool_choice names wether, which is not among the tools
        Did you mean weather?"
    `);
  });
});

describe("the calls in an answer", () => {
  test.each<[string, ReturnType<typeof parseToolCalls>]>([
    ["Hello.", { content: "Hello.", calls: [] }],
    [
      `Let me see.\n${paris}\n${clock}`,
      {
        content: "Let me see.",
        calls: [
          { name: "weather", arguments: '{"city": "Paris", "days": 3}' },
          { name: "now", arguments: "{}" },
        ],
      },
    ],
    // Signs inside of texts are not signs.
    [
      call('{"name": "weather", "arguments": {"city": "}]\\"{ </tool_call>"}}'),
      { content: "", calls: [{ name: "weather", arguments: '{"city": "}]\\"{ </tool_call>"}' }] },
    ],
    // As models write that are not held to a grammar.
    [
      call('{"arguments": {"a": 1}, "name": "f"}'),
      { content: "", calls: [{ name: "f", arguments: '{"a":1}' }] },
    ],
    [
      call('{"name": "f", "parameters": {"a": 1}}'),
      { content: "", calls: [{ name: "f", arguments: '{"a": 1}' }] },
    ],
    [call('{"name": "f"}'), { content: "", calls: [{ name: "f", arguments: "{}" }] }],
    ["<tool_call> is a mark", { content: "<tool_call> is a mark", calls: [] }],
    [call("{no json}"), { content: call("{no json}"), calls: [] }],
    // Cut off.
    ['<tool_call>\n{"name": "f", "arguments": {"a": ', { content: "", calls: [] }],
    ["a <tool_", { content: "a <tool_", calls: [] }],
  ])("%j", (answer, expected) => {
    expect(parseToolCalls(answer)).toEqual(expected);
  });

  test("Mistral's", () => {
    const answer =
      'Well. [TOOL_CALLS] [{"name": "f", "arguments": {"a": [1]}}, {"name": "g", "arguments": {}}]';
    expect(parseToolCalls(answer, mistralCalls)).toEqual({
      content: "Well.",
      calls: [
        { name: "f", arguments: '{"a": [1]}' },
        { name: "g", arguments: "{}" },
      ],
    });
  });

  test("come piece by piece: the name when it is whole, the arguments as they are written", () => {
    const parser = new ToolCallParser();
    const pieces = [
      "I ",
      "see <to",
      "ol_call>\n{",
      '"name": "we',
      'ather", "arguments": {"ci',
      'ty": "Par',
      'is"}',
      "}\n</tool_call>",
    ];
    expect(pieces.map((piece) => parser.push(piece))).toEqual([
      [{ type: "text", text: "I" }],
      [{ type: "text", text: " see" }],
      [],
      [],
      [
        { type: "call", index: 0, name: "weather" },
        { type: "arguments", index: 0, text: '{"ci' },
      ],
      [{ type: "arguments", index: 0, text: 'ty": "Par' }],
      [{ type: "arguments", index: 0, text: 'is"}' }],
      [],
    ]);
    expect(parser.end()).toEqual([]);
  });

  test("where an answer is held to a format are at its beginning or are not", () => {
    const read = (answer: string): ReturnType<ToolCallParser["push"]> => {
      const parser = new ToolCallParser(hermesCalls, "beginning");
      return [...parser.push(answer.slice(0, 4)), ...parser.push(answer.slice(4)), ...parser.end()];
    };
    const quoted = JSON.stringify({ said: paris });
    const textOf = (events: ReturnType<ToolCallParser["push"]>): string =>
      events.map((event) => (event.type === "text" ? event.text : `<${event.type}>`)).join("");
    for (const text of [quoted, `x ${clock}`, "<to", "  <tool_x", "", " 1 "])
      expect(textOf(read(text))).toBe(text);
    expect(read(clock)).toEqual([
      { type: "call", index: 0, name: "now" },
      { type: "arguments", index: 0, text: "{}" },
    ]);
  });

  test("are the same however the answer is cut", () => {
    const answers = fc.constantFrom(
      `Let me see.\n${paris}\n${clock}`,
      `a <tool_call b ${clock}`,
      call('{"arguments": {"a": "{"}, "name": "f"}'),
      `${call("{no json}")} and text`,
    );
    const join = (events: ReturnType<ToolCallParser["push"]>): string =>
      events.map((event) => (event.type === "call" ? `<${event.name}>` : event.text)).join("");
    fc.assert(
      fc.property(answers, fc.array(fc.nat(12), { maxLength: 30 }), (answer, cuts) => {
        const parser = new ToolCallParser();
        let at = 0;
        const events = cuts.flatMap((length) => parser.push(answer.slice(at, (at += length))));
        events.push(...parser.push(answer.slice(at)), ...parser.end());
        const whole = new ToolCallParser();
        expect(join(events)).toBe(join([...whole.push(answer), ...whole.end()]));
      }),
    );
  });
});

describe("a conversation in plain messages", () => {
  const messages: TemplateMessage[] = [
    { role: "system", content: "Be brief." },
    { role: "user", content: "Weather?" },
    {
      role: "assistant",
      content: "",
      tool_calls: [
        { id: "1", function: { name: "weather", arguments: '{"city": "Paris"}' } },
        { id: "2", function: { name: "now", arguments: "{}" } },
      ],
    },
    { role: "tool", tool_call_id: "1", content: "sun" },
    { role: "tool", tool_call_id: "2", content: "noon" },
    { role: "assistant", content: "Sun at noon." },
    { role: "user", content: "Thanks" },
  ];

  test("says what the tools are, what was called and what came back", () => {
    const plain = withToolsInText(messages, tools);
    expect(plain.map(({ role }) => role)).toEqual([
      "system",
      "user",
      "assistant",
      "user",
      "assistant",
      "user",
    ]);
    expect(plain[0]!.content).toBe(`Be brief.\n\n${toolSystemText(tools)}`);
    expect(plain[2]!.content).toBe(
      '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>\n<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>',
    );
    expect(plain[3]!.content).toBe(
      "<tool_response>\nsun\n</tool_response>\n<tool_response>\nnoon\n</tool_response>",
    );
    expect(toolSystemText([now])).toMatchInlineSnapshot(`
      "You can call these functions, each described with the JSON schema of its parameters:
      {"name":"now"}

      To call one, answer with exactly this and nothing after it:
      <tool_call>
      {"name": "function_name", "arguments": {"parameter": "value"}}
      </tool_call>"
    `);
  });

  test("stays as it was when there are no tools", () => {
    const plain: TemplateMessage[] = [
      { role: "user", content: "a" },
      { role: "assistant", content: "b" },
    ];
    expect(withToolsInText(plain, [])).toEqual(plain);
  });
});
