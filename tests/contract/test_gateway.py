"""The official SDK before the mock, and before a gateway in front of the mock: it cannot tell one from the other."""

import anthropic
import httpx2
import pytest

MODEL = "claude-haiku-4-5"
ASK = {"model": MODEL, "max_tokens": 20, "messages": [{"role": "user", "content": "hi"}]}
TOOL = {
    "name": "look_up",
    "input_schema": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
}
LONG = "Be brief. " * 2500  # long enough for the prompt cache
THEIRS = "sk-theirs"


@pytest.fixture(params=["mock", "naive", "production"])
def url(request, behind, gateways):
    """Where the SDK is pointed at: what is there cannot be told from the mock, which begins anew."""
    begin(behind, seed=1)
    return behind.url if request.param == "mock" else gateways[request.param].url


@pytest.fixture
def client(url):
    with anthropic.Anthropic(base_url=url, api_key=THEIRS, max_retries=0, timeout=20) as made:
        yield made


@pytest.fixture(params=["naive", "production"])
def both(request, behind, twin, gateways):
    """The URLs of the twin and of a gateway; both mocks begin anew, with one seed."""
    begin(behind, seed=5)
    begin(twin, seed=5)
    return twin.url, gateways[request.param].url


def begin(mock, seed):
    mock.configure(faults=[], seed=seed)
    mock.reset()


def fault(text):
    return {"x-mockclaude-fault": text}


# What works


def test_a_message(client):
    raw = client.messages.with_raw_response.create(**ASK)

    message = raw.parse()
    assert (message.model, message.stop_reason) == ("claude-haiku-4-5-20251001", "max_tokens")
    assert message.usage.output_tokens == 20
    assert message._request_id == raw.headers["request-id"]
    assert raw.headers["request-id"].startswith("req_011C")
    assert raw.headers["anthropic-organization-id"]


def test_a_stream(client):
    with client.messages.stream(**ASK) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()

    assert (final.content[0].text, final.usage.output_tokens) == (text, 20)
    assert final.stop_reason == "max_tokens"


async def test_the_async_client(url):
    async with anthropic.AsyncAnthropic(base_url=url, api_key=THEIRS, max_retries=0) as client:
        message = await client.messages.create(**ASK)
        async with client.messages.stream(**ASK) as stream:
            streamed = await stream.get_final_message()

    assert message.usage.output_tokens == streamed.usage.output_tokens == 20


@pytest.mark.parametrize(
    "shown",
    [
        {"x-api-key": THEIRS},
        {"authorization": f"Bearer {THEIRS}"},
        {"x-api-key": THEIRS, "authorization": f"Bearer {THEIRS}"},
    ],
    ids=["key", "bearer", "both"],
)
def test_either_credential(url, shown):
    said = httpx2.post(f"{url}/v1/messages", json=ASK, headers={"anthropic-version": "2023-06-01", **shown})

    assert said.status_code == 200


def test_a_tool_is_called_and_its_result_is_answered(client):
    ask = {**ASK, "max_tokens": 200, "tools": [TOOL]}

    with client.messages.stream(**ask, tool_choice={"type": "tool", "name": "look_up"}) as stream:
        snapshots = [event.snapshot for event in stream if event.type == "input_json"]
        final = stream.get_final_message()
    [use] = [block for block in final.content if block.type == "tool_use"]
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "a word"}
    turns = [{"role": "assistant", "content": final.content}, {"role": "user", "content": [result]}]
    answer = client.messages.create(**{**ask, "messages": [*ASK["messages"], *turns]})

    assert final.stop_reason == "tool_use"
    assert isinstance(use.input["word"], str)
    assert snapshots[-1] == use.input
    assert answer.stop_reason in ("end_turn", "max_tokens", "tool_use")


@pytest.mark.parametrize("stream", [False, True], ids=["answer", "stream"])
def test_thinking_goes_back_and_forth_with_its_signature(client, stream):
    ask = {**ASK, "max_tokens": 1100, "thinking": {"type": "enabled", "budget_tokens": 1024}}

    def said(messages):
        if not stream:
            return client.messages.create(**{**ask, "messages": messages})
        with client.messages.stream(**{**ask, "messages": messages}) as events:
            return events.get_final_message()

    first = said(ASK["messages"])
    thought = first.content[0]
    history = [*ASK["messages"], {"role": "assistant", "content": first.content}, {"role": "user", "content": "and?"}]
    second = said(history)
    thought.signature = thought.signature[:-8] + "AAAAAAA="
    with pytest.raises(anthropic.BadRequestError, match="Invalid `signature` in `thinking` block"):
        said(history)

    assert (thought.type, second.content[0].type) == ("thinking", "thinking")
    assert len(thought.signature) > 100


def test_the_system_array_reaches_the_prompt_cache_as_it_is(client):
    system = [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.0"},
        {"type": "text", "text": f"You are Claude Code. {LONG}", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "Today is Friday."},
    ]

    first, second = (client.messages.create(**ASK, system=system).usage for _ in range(2))

    assert first.cache_creation_input_tokens > 4096
    assert (second.cache_read_input_tokens, second.cache_creation_input_tokens) == (
        first.cache_creation_input_tokens,
        0,
    )


def test_the_beta_endpoint(client):
    message = client.beta.messages.create(**ASK, betas=["context-1m-2025-08-07"])

    assert message.usage.output_tokens == 20


def test_a_tool_runner_keeps_its_thread(client):
    @anthropic.beta_tool
    def look_up(word: str) -> str:
        """Look a word up."""
        return "a word"

    ask = {**ASK, "max_tokens": 200, "messages": [{"role": "user", "content": "Use look_up."}]}
    messages = list(client.beta.messages.tool_runner(**ask, tools=[look_up]))

    assert len(messages) >= 2
    assert messages[0].stop_reason == "tool_use"


def test_count_tokens(client):
    assert client.messages.count_tokens(model=MODEL, messages=ASK["messages"]).input_tokens > 0


def test_models(client):
    ids = [model.id for model in client.models.list(limit=1000)]
    paged = [model.id for model in client.models.list(limit=2)]

    assert "claude-haiku-4-5-20251001" in ids
    assert paged == ids
    assert client.models.retrieve(MODEL).id == "claude-haiku-4-5-20251001"
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("claude-nope")


@pytest.mark.parametrize(
    "what",
    ["comments", "split_packets;seconds=0.001", "giant_event;size=3000000", "stall;after=2;seconds=0.2;pings=true"],
)
def test_what_a_client_must_bear(client, what):
    with client.messages.stream(**ASK, extra_headers=fault(what)) as stream:
        assert stream.get_final_message().stop_reason == "max_tokens"


# What fails


@pytest.mark.parametrize("stream", [False, True], ids=["answer", "stream"])
@pytest.mark.parametrize(
    ("changed", "fault_", "raised", "words"),
    [
        ({"foo": 1}, "", anthropic.BadRequestError, "foo: Extra inputs are not permitted"),
        ({"model": "claude-nope"}, "", anthropic.NotFoundError, "model: claude-nope"),
        ({}, "status;code=401", anthropic.AuthenticationError, "authentication_error"),
        ({}, "status;code=402", anthropic.PaymentRequiredError, "Your credit balance is too low"),
        ({}, "status;code=403", anthropic.PermissionDeniedError, "does not have permission"),
        ({}, "status;code=409", anthropic.ConflictError, "conflict_error"),
        ({}, "status;code=413", anthropic.RequestTooLargeError, "Request exceeds the maximum size"),
        ({}, "status;code=429;retry_after=7", anthropic.RateLimitError, "rate limit"),
        ({}, "status;code=500", anthropic.InternalServerError, "Internal server error"),
        ({}, "status;code=502;body=html", anthropic.InternalServerError, "502 Bad Gateway"),
        ({}, "status;code=503", anthropic.ServiceUnavailableError, "error"),
        ({}, "status;code=504", anthropic.DeadlineExceededError, "Request timed out"),
        ({}, "status;code=529", anthropic.OverloadedError, "Overloaded"),
    ],
    ids=lambda value: value if isinstance(value, str) and ";" in value else None,
)
def test_an_error(client, behind, changed, fault_, raised, words, stream):
    ask = {**ASK, **{key: value for key, value in changed.items() if key in ASK}}
    extra = {key: value for key, value in changed.items() if key not in ASK}

    with pytest.raises(raised) as caught:
        client.messages.create(**ask, stream=stream, extra_body=extra, extra_headers=fault(fault_) if fault_ else {})

    response = caught.value.response
    assert words in response.text
    assert response.headers.get("retry-after") == ("7" if "retry_after" in fault_ else None)
    if response.headers["content-type"] == "application/json" and response.status_code != 413:
        assert caught.value.request_id == response.json()["request_id"] == response.headers["request-id"]
        again = response.status_code in (409, 429) or response.status_code >= 500
        assert response.headers["x-should-retry"] == str(again).lower()
    assert len(behind.journal()) == 1


AT_ONCE = "retry_after=0.001;retry_after_as=ms"
STATUSES = [400, 401, 402, 403, 404, 409, 413, 429, 500, 502, 503, 504, 529]
REFUSALS = [
    *(f"status;code={code};{AT_ONCE}" for code in STATUSES),
    *(f"status;code={code};body=html;{AT_ONCE}" for code in (403, 413, 502, 503, 529)),
    f"status;code=400;message=credit;{AT_ONCE}",
    f"status;code=429;message=spend_cap;{AT_ONCE}",
]
ACCIDENTS = [
    *("error_event;after=0", "error_event;after=2", "error_event;after=2;type=api_error"),
    *("cut;after=2", "cut;after=2;how=rst", "truncate;after=0", "truncate;after=2"),
    *("malformed_event", "truncated_json", "duplicate_event", "content_type", "missing_event"),
    *(f"missing_event;event={name}" for name in ("content_block_start", "message_delta", "message_stop")),
]


@pytest.mark.parametrize("stream", [False, True], ids=["answer", "stream"])
@pytest.mark.parametrize("what", [*REFUSALS, *ACCIDENTS])
def test_whatever_goes_wrong_is_the_same_and_tried_as_often(both, what, stream):
    direct, passed = (told(url, stream, what, retries=2 if what in REFUSALS else 1) for url in both)

    assert passed == direct


@pytest.mark.parametrize("stream", [False, True], ids=["answer", "stream"])
def test_a_request_that_the_mock_itself_refuses_is_refused_in_the_same_words(both, stream):
    direct, passed = (told(url, stream, extra_body={"foo": {"bar": 1}}) for url in both)

    assert passed == direct
    assert "foo: Extra inputs are not permitted" in direct["message"]


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_a_connection_that_breaks_before_the_answer_is_a_failure_tried_as_often(both, how):
    """There is no answer to pass on, so the gateway has to say so itself."""
    direct, passed = (told(url, True, f"cut;after=0;how={how}", retries=1) for url in both)

    assert (direct["class"], direct["tries"]) == (anthropic.APIConnectionError, 2)
    assert (passed["class"], passed["tries"]) == (anthropic.InternalServerError, 2)
    assert (passed["status"], passed["body"]["error"]["type"]) == (502, "api_error")


def told(url, stream, what="", *, retries=2, **more):
    """All that a caller of the SDK can see when something goes wrong, and how often the SDK tried."""
    tries, seen = [], {"deltas": []}
    http = anthropic.DefaultHttpxClient(event_hooks={"request": [tries.append]})
    ask = {**ASK, **more, "extra_headers": fault(what) if what else {}}
    with anthropic.Anthropic(base_url=url, api_key=THEIRS, max_retries=retries, timeout=20, http_client=http) as client:
        try:
            if stream:
                with client.messages.stream(**ask) as events:
                    seen["deltas"].extend(event.delta.to_dict() for event in events if event.type.endswith("_delta"))
                    seen["final"] = events.get_final_message().to_dict()
            else:
                seen["final"] = client.messages.create(**ask).to_dict()
        except httpx2.TransportError:  # which one depends on where the connection broke
            seen["class"] = "the connection broke"
        except Exception as error:
            seen |= {"class": type(error), "message": str(error)}
            if isinstance(error, anthropic.APIStatusError):
                seen |= {"status": error.status_code, "body": error.body, "id": error.request_id}
                seen["headers"] = headers_of(error.response)
    return {**seen, "tries": len(tries)}


def headers_of(response):
    """Without those that the gateway adds, and without the date."""
    ours = ("x-request-id", "x-accel-buffering", "date")
    return sorted(pair for pair in response.headers.multi_items() if pair[0] not in ours)


def test_a_body_beyond_the_limit(client):
    big = [{"role": "user", "content": "x" * (32 * 1024 * 1024)}]

    with pytest.raises(anthropic.RequestTooLargeError, match="Request exceeds the maximum size"):
        client.messages.create(**{**ASK, "messages": big})
