"""langchain-anthropic."""

import feature
import pydantic
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool as as_tool


class Person(pydantic.BaseModel):
    """A person."""

    name: str
    age: int


@as_tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return feature.WEATHER


def model(**settings):
    return ChatAnthropic(model=feature.MODEL, max_tokens=300, **settings)


def create():
    message = model().invoke(feature.GREETING)
    return {"text": message.text, "tokens": message.usage_metadata["output_tokens"]}


def stream():
    return (chunk.text for chunk in model().stream(feature.GREETING) if chunk.text)


def tool():
    able = model().bind_tools([get_weather])
    turns = [HumanMessage(feature.QUESTION)]
    turns.append(able.invoke(turns))
    call = turns[-1].tool_calls[0]
    turns.append(ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"]))
    stop = turns[1].response_metadata["stop_reason"]
    return {"tool": call["name"], "input": call["args"], "stop": stop, "text": able.invoke(turns).text}


def thinking():
    thinker = model(thinking={"type": "enabled", "budget_tokens": 1024}).model_copy(update={"max_tokens": 2000})
    message = thinker.invoke(feature.GREETING)
    thinker.invoke([HumanMessage(feature.GREETING), message, HumanMessage("And now?")])
    block = message.content[0]
    return {"thinking": block["thinking"], "signature": block["signature"], "text": message.text}


def structured():
    return {"value": model().with_structured_output(Person, method="json_schema").invoke(feature.PERSON).model_dump()}


def structured_by_tool():
    return {
        "value": model().with_structured_output(Person, method="function_calling").invoke(feature.PERSON).model_dump()
    }


if __name__ == "__main__":
    feature.main({f.__name__: f for f in [create, stream, tool, thinking, structured, structured_by_tool]})
