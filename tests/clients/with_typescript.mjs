// The official TypeScript SDK.

import Anthropic from "@anthropic-ai/sdk";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { z } from "zod";
import * as feature from "./feature.mjs";

const client = new Anthropic();
const CITY = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const TOOL = { name: "get_weather", description: feature.DESCRIPTION, input_schema: CITY };

const ask = (text, fields = {}) => ({
  model: feature.MODEL,
  max_tokens: 300,
  messages: [{ role: "user", content: text }],
  ...fields,
});

async function create() {
  const message = await client.messages.create(ask(feature.GREETING));
  return { text: message.content[0].text, tokens: message.usage.output_tokens };
}

async function* stream() {
  for await (const event of client.messages.stream(ask(feature.GREETING))) {
    if (event.type === "content_block_delta") yield event.delta.text;
  }
}

async function tool() {
  const question = ask(feature.QUESTION, { tools: [TOOL] });
  return answered(question, await client.messages.create(question));
}

async function tool_stream() {
  const question = ask(feature.QUESTION, { tools: [TOOL] });
  return answered(question, await client.messages.stream(question).finalMessage());
}

async function answered(question, message) {
  const use = message.content.find((block) => block.type === "tool_use");
  const result = { type: "tool_result", tool_use_id: use.id, content: feature.WEATHER };
  question.messages.push({ role: "assistant", content: message.content }, { role: "user", content: [result] });
  const final = await client.messages.create(question);
  return { tool: use.name, input: use.input, stop: message.stop_reason, text: final.content[0].text };
}

async function thinking() {
  const thinker = { max_tokens: 2000, thinking: { type: "enabled", budget_tokens: 1024 } };
  const question = ask(feature.GREETING, thinker);
  const message = await client.messages.stream(question).finalMessage();
  const [thought, text] = message.content;
  question.messages.push({ role: "assistant", content: message.content }, { role: "user", content: "And now?" });
  await client.messages.create(question);
  return { thinking: thought.thinking, signature: thought.signature, text: text.text };
}

async function structured() {
  const Person = z.object({ name: z.string(), age: z.number().int() });
  const message = await client.messages.parse(ask(feature.PERSON, { output_config: { format: zodOutputFormat(Person) } }));
  return { value: message.parsed_output };
}

await feature.main({ create, stream, tool, tool_stream, thinking, structured });
