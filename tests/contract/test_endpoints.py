"""The official SDK, strict about what it reads, on the endpoints beside POST /v1/messages: sync and async."""

import asyncio
import http.client
import json
import time

import anthropic
import pytest

from mockclaude import catalog

BATCHED = {"model": "claude-haiku-4-5", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
BETA = "files-api-2025-04-14"


@pytest.fixture
def strict(mock):
    with anthropic.Anthropic(base_url=mock.url, api_key="a", max_retries=0, _strict_response_validation=True) as made:
        yield made


@pytest.fixture
async def async_strict(mock):
    async with anthropic.AsyncAnthropic(
        base_url=mock.url, api_key="a", max_retries=0, _strict_response_validation=True
    ) as made:
        yield made


def wanted(**requests):
    return [{"custom_id": name, "params": BATCHED | changes} for name, changes in requests.items()]


def ended(client, batch_id):
    give_up = time.monotonic() + 10
    while (batch := client.messages.batches.retrieve(batch_id)).processing_status != "ended":
        assert time.monotonic() < give_up
        time.sleep(0.02)
    return batch


def test_models_page_by_page_are_all_models(strict):
    listed = list(strict.models.list(limit=4, lifecycle=["active", "deprecated", "retired"]))

    assert [model.id for model in listed] == [*catalog.RELEASED, *catalog.PAST]
    assert [model.line for model in listed[:3]] == ["fable", "mythos", "haiku"]
    assert all(model.capabilities.batch.supported for model in listed)


def test_an_alias_resolves_to_its_model(strict):
    model = strict.models.retrieve("claude-sonnet-4-5")

    assert (model.id, model.lifecycle) == ("claude-sonnet-4-5-20250929", "deprecated")
    assert model.retires_at.date().isoformat() == "2026-11-30"
    with pytest.raises(anthropic.NotFoundError, match="model: claude-nope"):
        strict.models.retrieve("claude-nope")


async def test_models_async_and_in_beta(async_strict):
    listed = [model.id async for model in async_strict.models.list(limit=5)]
    in_beta = [model.id async for model in async_strict.beta.models.list(limit=5)]

    assert listed == in_beta == list(catalog.RELEASED)


def test_a_batch_from_creation_to_deletion(strict):
    requests = wanted(good={}, bad={"model": "claude-nope"}, long={"max_tokens": 30})
    batch = strict.messages.batches.create(requests=requests)
    assert (batch.processing_status, batch.request_counts.processing) == ("in_progress", 3)
    with pytest.raises(anthropic.AnthropicError, match="No `results_url`"):
        strict.messages.batches.results(strict.messages.batches.create(requests=wanted(x={"max_tokens": 4000})).id)

    batch = ended(strict, batch.id)
    lines = {line.custom_id: line.result for line in strict.messages.batches.results(batch.id)}

    assert (batch.request_counts.succeeded, batch.request_counts.errored) == (2, 1)
    assert lines["good"].message.usage.service_tier == "batch"
    assert lines["long"].message.usage.output_tokens == 30
    assert lines["bad"].error.error.type == "not_found_error"
    assert strict.messages.batches.delete(batch.id).type == "message_batch_deleted"
    with pytest.raises(anthropic.NotFoundError, match=f"Message Batch {batch.id} not found"):
        strict.messages.batches.retrieve(batch.id)


def test_a_canceled_batch_has_results_too(strict):
    batch = strict.messages.batches.create(requests=wanted(a={"max_tokens": 8000}))
    with pytest.raises(anthropic.BadRequestError, match="In progress batches cannot be deleted"):
        strict.messages.batches.delete(batch.id)

    assert strict.messages.batches.cancel(batch.id).processing_status == "canceling"
    ended(strict, batch.id)

    assert [line.result.type for line in strict.messages.batches.results(batch.id)] == ["canceled"]


async def test_batches_async_and_in_beta(async_strict):
    batches = async_strict.messages.batches
    made = [await batches.create(requests=wanted(a={})) for _ in range(3)]
    made.append(await async_strict.beta.messages.batches.create(requests=wanted(a={})))
    while not all([(await batches.retrieve(batch.id)).processing_status == "ended" for batch in made]):
        await asyncio.sleep(0.02)

    assert [batch.id async for batch in batches.list(limit=2)] == [batch.id for batch in reversed(made)]
    lines = [line.result.type async for line in await batches.results(made[0].id)]
    in_beta = [line.result.type async for line in await async_strict.beta.messages.batches.results(made[3].id)]
    assert lines == in_beta == ["succeeded"]


def test_a_files_life(strict):
    file = strict.files.upload(file=("notes.txt", b"hello", "text/plain"), expires_in_seconds=3600)
    bare = strict.files.upload(file=b"\x00\x01")

    assert (file.filename, file.size_bytes, file.downloadable) == ("notes.txt", 5, False)
    assert (file.expires_at - file.created_at).total_seconds() == 3600
    assert (bare.filename, bare.mime_type) == ("unnamed.bin", "application/octet-stream")
    assert strict.files.retrieve_metadata(file.id) == file
    with pytest.raises(anthropic.BadRequestError, match="is not downloadable") as refused:
        strict.files.download(file.id)
    assert refused.value.error_code == "file_not_downloadable"
    assert strict.files.delete(file.id).type == "file_deleted"
    with pytest.raises(anthropic.NotFoundError, match=f"File `{file.id}` not found"):
        strict.files.retrieve_metadata(file.id)


def test_a_file_of_some_megabytes_is_counted_to_the_byte(strict, tmp_path):
    path = tmp_path / "large.pdf"
    path.write_bytes(b"\r\n--x" * 1_000_000)

    file = strict.files.upload(file=path)

    assert (file.filename, file.mime_type, file.size_bytes) == ("large.pdf", "application/pdf", 5_000_000)


async def test_files_async_page_by_page_and_in_beta(async_strict):
    ids = [(await async_strict.files.upload(file=(f"{n}.txt", b"x"))).id for n in range(5)]

    assert [file.id async for file in async_strict.files.list(limit=2)] == ids[::-1]
    assert [file.id async for file in async_strict.files.list(ids=ids[:2])] == ids[1::-1]
    assert [file.id async for file in async_strict.beta.files.list(limit=2)] == ids[::-1]
    old = await async_strict.beta.files.with_raw_response.list(betas=[BETA], limit=2)
    assert json.loads(await old.text())["has_more"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("HEAD", "/", 200), ("GET", "/", 200), ("HEAD", "/api/hello", 404), ("GET", "/v1/skills", 404)],
)
def test_the_root_answers_and_the_rest_is_claudes_404(mock, method, path, status):
    connection = http.client.HTTPConnection(mock.url.removeprefix("http://"), timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()

    assert answer.status == status
    if status == 404 and method == "GET":
        assert json.loads(body)["error"] == {"type": "not_found_error", "message": "Not found"}
        assert json.loads(body)["request_id"] == answer.headers["request-id"]
