"""pydantic-ai."""

import feature
import pydantic
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.messages import ThinkingPart
from pydantic_ai.models.anthropic import AnthropicModel, AnthropicModelSettings


class Person(pydantic.BaseModel):
    name: str
    age: int


def agent(max_tokens=300, output_type=str, **settings):
    settings = AnthropicModelSettings(max_tokens=max_tokens, **settings)
    return Agent(AnthropicModel(feature.MODEL), model_settings=settings, output_type=output_type, retries=0)


async def create():
    result = await agent().run(feature.GREETING)
    return {"text": result.output, "tokens": result.usage.output_tokens}


async def stream():
    async with agent().run_stream(feature.GREETING) as result:
        async for text in result.stream_text(delta=True, debounce_by=None):
            yield text


async def tool():
    able, called = agent(), []

    @able.tool_plain
    def get_weather(city: str) -> str:
        """The weather of a city."""
        called.append(city)
        return feature.WEATHER

    result = await able.run(feature.QUESTION)
    stop = result.all_messages()[1].provider_details["finish_reason"]
    return {"tool": "get_weather", "input": {"city": called[0]}, "stop": stop, "text": result.output}


async def thinking():
    thinker = agent(max_tokens=2000, anthropic_thinking={"type": "enabled", "budget_tokens": 1024})
    result = await thinker.run(feature.GREETING)
    await thinker.run("And now?", message_history=result.all_messages())
    part = next(part for part in result.all_messages()[-1].parts if isinstance(part, ThinkingPart))
    return {"thinking": part.content, "signature": part.signature, "text": result.output}


async def structured():
    return {"value": (await agent(output_type=NativeOutput(Person)).run(feature.PERSON)).output.model_dump()}


async def structured_by_tool():
    return {"value": (await agent(output_type=Person).run(feature.PERSON)).output.model_dump()}


if __name__ == "__main__":
    feature.main({f.__name__: f for f in [create, stream, tool, thinking, structured, structured_by_tool]})
