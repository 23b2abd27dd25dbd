"""instructor, whose every answer is structured."""

import feature
import instructor
import pydantic


class Person(pydantic.BaseModel):
    name: str
    age: int


def ask(mode):
    client = instructor.from_provider(f"anthropic/{feature.MODEL}", mode=mode)
    return client, {"messages": [{"role": "user", "content": feature.PERSON}], "max_tokens": 300}


def structured_by_tool():
    client, question = ask(instructor.Mode.TOOLS)
    return {"value": client.create(response_model=Person, **question).model_dump()}


def structured():
    client, question = ask(instructor.Mode.JSON_SCHEMA)
    return {"value": client.create(response_model=Person, **question).model_dump()}


def stream():
    client, question = ask(instructor.Mode.TOOLS)
    for person in client.create_partial(response_model=Person, **question):
        yield person.model_dump()


if __name__ == "__main__":
    feature.main({f.__name__: f for f in [stream, structured, structured_by_tool]})
