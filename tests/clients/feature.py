"""What a client program shares with the others: the questions it asks, and how it tells what came of one.

A program is run as `python with_anthropic.py FEATURE`, finds the mock in ANTHROPIC_BASE_URL and prints one JSON object:
what the feature returned, the `pieces` it yielded, and the `error` that ended it. It imports only its own client.
"""

import asyncio
import inspect
import json
import sys

MODEL = "claude-haiku-4-5"
GREETING = "Say hello."
QUESTION = "What is the weather in Paris? Use get_weather."
PERSON = "Invent a person."
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"name": "get_weather", "description": "The weather of a city.", "input_schema": CITY}
WEATHER = "21 degrees"


def main(features) -> None:
    """Run the feature that the first argument names."""
    told: dict = {}
    try:
        asyncio.run(collect(features[sys.argv[1]](), told))
    except Exception as error:
        told["error"] = type(error).__name__
        told["status"] = getattr(error, "status_code", None)
        told["message"] = str(error)
    print(json.dumps(told))


async def collect(result, told) -> None:
    """Keep pieces as they come, so that those before an error are not lost."""
    if inspect.isasyncgen(result):
        async for piece in result:
            told.setdefault("pieces", []).append(piece)
    elif inspect.isgenerator(result):
        for piece in result:
            told.setdefault("pieces", []).append(piece)
    else:
        told.update(await result if inspect.isawaitable(result) else result)
