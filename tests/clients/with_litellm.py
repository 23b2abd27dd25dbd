"""litellm, which speaks HTTP itself."""

import json

import feature
import litellm
import pydantic

litellm.suppress_debug_info = True
FUNCTION = {"name": feature.TOOL["name"], "description": feature.TOOL["description"], "parameters": feature.CITY}


class Person(pydantic.BaseModel):
    name: str
    age: int


def complete(messages, max_tokens=300, **fields):
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    return litellm.completion(f"anthropic/{feature.MODEL}", messages, max_tokens=max_tokens, num_retries=2, **fields)


def create():
    message = complete(feature.GREETING)
    return {"text": message.choices[0].message.content, "tokens": message.usage.completion_tokens}


def stream():
    for chunk in complete(feature.GREETING, stream=True):
        if text := chunk.choices[0].delta.content:
            yield text


def tool():
    tools = [{"type": "function", "function": FUNCTION}]
    turns = [{"role": "user", "content": feature.QUESTION}]
    choice = complete(turns, tools=tools).choices[0]
    call = choice.message.tool_calls[0]
    turns += [choice.message, {"role": "tool", "tool_call_id": call.id, "content": feature.WEATHER}]
    final = complete(turns, tools=tools).choices[0].message.content
    arguments = json.loads(call.function.arguments)
    return {"tool": call.function.name, "input": arguments, "stop": choice.finish_reason, "text": final}


def thinking():
    thinker = {"max_tokens": 2000, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    turns = [{"role": "user", "content": feature.GREETING}]
    message = complete(turns, **thinker).choices[0].message
    complete([*turns, message, {"role": "user", "content": "And now?"}], **thinker)
    block = message.thinking_blocks[0]
    return {"thinking": message.reasoning_content, "signature": block["signature"], "text": message.content}


def structured():
    return {"value": json.loads(complete(feature.PERSON, response_format=Person).choices[0].message.content)}


if __name__ == "__main__":
    feature.main({f.__name__: f for f in [create, stream, tool, thinking, structured]})
