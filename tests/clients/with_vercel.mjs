// The Vercel AI SDK.

import { createAnthropic } from "@ai-sdk/anthropic";
import { generateText, Output, stepCountIs, streamText, tool as asTool } from "ai";
import { z } from "zod";
import * as feature from "./feature.mjs";

// What the official clients read from the environment this one does not: its base URL ends in /v1.
const anthropic = createAnthropic({ baseURL: `${process.env.ANTHROPIC_BASE_URL}/v1` });

const ask = (prompt, fields = {}) => ({ model: anthropic(feature.MODEL), prompt, maxOutputTokens: 300, ...fields });

async function create() {
  const result = await generateText(ask(feature.GREETING));
  return { text: result.text, tokens: result.usage.outputTokens };
}

async function* stream() {
  const result = streamText(ask(feature.GREETING, { onError: () => {} }));
  for await (const part of result.fullStream) {
    if (part.type === "text-delta") yield part.text;
    if (part.type === "error") throw part.error;
  }
}

async function tool() {
  const called = [];
  const get_weather = asTool({
    description: feature.DESCRIPTION,
    inputSchema: z.object({ city: z.string() }),
    execute: async (input) => (called.push(input), feature.WEATHER),
  });
  const result = await generateText(ask(feature.QUESTION, { tools: { get_weather }, stopWhen: stepCountIs(2) }));
  return { tool: "get_weather", input: called[0], stop: result.steps[0].finishReason, text: result.text };
}

async function thinking() {
  const thinking = { type: "enabled", budgetTokens: 1024 };
  const thinker = { providerOptions: { anthropic: { thinking } } };
  const result = await generateText(ask(feature.GREETING, thinker));
  const messages = [{ role: "user", content: feature.GREETING }, ...result.response.messages];
  messages.push({ role: "user", content: "And now?" });
  await generateText({ ...ask(undefined, thinker), messages });
  const [thought] = result.reasoning;
  return { thinking: thought.text, signature: thought.providerMetadata.anthropic.signature, text: result.text };
}

async function structured() {
  const Person = z.object({ name: z.string(), age: z.number().int() });
  const result = await generateText(ask(feature.PERSON, { output: Output.object({ schema: Person }) }));
  return { value: result.output };
}

await feature.main({ create, stream, tool, thinking, structured });
