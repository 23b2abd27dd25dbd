"""The official SDK: `with_anthropic.py FEATURE sync|async|aiohttp`."""

import contextlib
import inspect
import sys

import anthropic
import feature
import pydantic

CLIENTS = {
    "sync": lambda: anthropic.Anthropic(),
    "async": lambda: anthropic.AsyncAnthropic(),
    "aiohttp": lambda: anthropic.AsyncAnthropic(http_client=anthropic.DefaultAioHttpClient()),
}


class Person(pydantic.BaseModel):
    name: str
    age: int


def ask(text, **fields):
    messages = [{"role": "user", "content": text}]
    return {"model": feature.MODEL, "max_tokens": 300, "messages": messages} | fields


async def settled(value):
    return await value if inspect.isawaitable(value) else value


@contextlib.asynccontextmanager
async def opened(manager):
    async with contextlib.AsyncExitStack() as stack:
        isasync = hasattr(manager, "__aenter__")
        yield await stack.enter_async_context(manager) if isasync else stack.enter_context(manager)


async def each(items):
    if hasattr(items, "__aiter__"):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


async def create(client):
    message = await settled(client.messages.create(**ask(feature.GREETING)))
    return {"text": message.content[0].text, "tokens": message.usage.output_tokens}


async def stream(client):
    async with opened(client.messages.stream(**ask(feature.GREETING))) as events:
        async for text in each(events.text_stream):
            yield text


async def tool(client):
    question = ask(feature.QUESTION, tools=[feature.TOOL])
    message = await settled(client.messages.create(**question))
    return await answered(client, question, message)


async def tool_stream(client):
    question = ask(feature.QUESTION, tools=[feature.TOOL])
    async with opened(client.messages.stream(**question)) as events:
        message = await settled(events.get_final_message())
    return await answered(client, question, message)


async def answered(client, question, message):
    use = next(block for block in message.content if block.type == "tool_use")
    result = {"type": "tool_result", "tool_use_id": use.id, "content": feature.WEATHER}
    turns = [{"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}]
    final = await settled(client.messages.create(**question | {"messages": question["messages"] + turns}))
    return {"tool": use.name, "input": use.input, "stop": message.stop_reason, "text": final.content[0].text}


async def tool_runner(client):
    decorate = anthropic.beta_tool if isinstance(client, anthropic.Anthropic) else anthropic.beta_async_tool
    called = []

    def get_weather(city: str) -> str:
        """The weather of a city."""
        called.append(city)
        return feature.WEATHER

    async def get_weather_soon(city: str) -> str:
        """The weather of a city."""
        return get_weather(city)

    named = get_weather
    if not isinstance(client, anthropic.Anthropic):
        named, get_weather_soon.__name__ = get_weather_soon, "get_weather"
    runner = client.beta.messages.tool_runner(**ask(feature.QUESTION), tools=[decorate(named)])
    messages = [message async for message in each(runner)]
    return {
        "tool": "get_weather",
        "input": {"city": called[0]},
        "stop": messages[0].stop_reason,
        "text": messages[-1].content[0].text,
    }


async def thinking(client):
    question = ask(feature.GREETING, max_tokens=2000, thinking={"type": "enabled", "budget_tokens": 1024})
    async with opened(client.messages.stream(**question)) as events:
        message = await settled(events.get_final_message())
    thought, text = message.content
    turns = [{"role": "assistant", "content": message.content}, {"role": "user", "content": "And now?"}]
    await settled(client.messages.create(**question | {"messages": question["messages"] + turns}))
    return {"thinking": thought.thinking, "signature": thought.signature, "text": text.text}


async def structured(client):
    message = await settled(client.messages.parse(**ask(feature.PERSON), output_format=Person))
    return {"value": message.parsed_output.model_dump()}


async def beta(client):
    message = await settled(
        client.beta.messages.create(**ask(feature.GREETING), betas=["interleaved-thinking-2025-05-14"])
    )
    return {"text": message.content[0].text}


async def sampling(client):
    message = await settled(client.messages.create(**ask(feature.GREETING), extra_body={"temperature": 0.5}))
    return {"text": message.content[0].text}


FEATURES = [create, stream, tool, tool_stream, tool_runner, thinking, structured, beta, sampling]

if __name__ == "__main__":
    client = CLIENTS[sys.argv[2]]
    feature.main({function.__name__: lambda function=function: function(client()) for function in FEATURES})
