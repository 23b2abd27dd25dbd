"""Pages of other origins: who may call us from a browser, and what their scripts may read."""

import pytest

PAGE = "https://app.example"
PREFLIGHT = {
    "origin": PAGE,
    "access-control-request-method": "POST",
    "access-control-request-headers": "content-type,x-api-key,authorization",
}


@pytest.mark.parametrize(
    ("switches", "status", "allowed"),
    [
        ({"cors_origins": [PAGE, "https://other.example"]}, 200, PAGE),
        ({"cors_origins": ["https://other.example"]}, 400, None),
        ({"cors_origins": []}, 405, None),
        ({"preset": "production"}, 405, None),
        ({"preset": "naive"}, 200, "*"),
    ],
    ids=["listed", "not listed", "none listed", "production", "naive"],
)
@pytest.mark.parametrize("path", ["/chat/stream", "/v1/messages"])
async def test_a_page_may_ask_first(gateway, claude, path, switches, status, allowed):
    async with gateway(**switches) as g:
        response = await g.caller.options(path, headers=PREFLIGHT)

    assert (response.status_code, response.headers.get("access-control-allow-origin")) == (status, allowed)
    if allowed:
        assert {"POST", "GET"} <= set(response.headers["access-control-allow-methods"].replace(",", " ").split())
        assert {"x-api-key", "authorization"} <= set(response.headers["access-control-allow-headers"].split(","))
        assert "access-control-allow-credentials" not in response.headers
    assert claude.received == []


@pytest.mark.parametrize(("origins", "allowed"), [([PAGE], PAGE), ([], None)])
async def test_a_stream_still_streams(gateway, claude, origins, allowed):
    claude.script = [claude.tells("one two", every=2.0)]

    async with gateway(cors_origins=origins) as g:
        began, *sent = await g.asgi("/chat/stream", headers={"origin": PAGE})

    headers = {name.decode(): value.decode() for name, value in began["headers"]}
    times = [round(message["at"]) for message in sent if b"text" in message["body"]]
    assert headers.get("access-control-allow-origin") == allowed
    assert times == [2, 4]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [("/chat", {"x-api-key": "bad"}, 403), ("/chat", {"content-length": "9999999"}, 413), ("/nowhere", {}, 404)],
)
async def test_a_page_can_read_our_refusals(gateway, claude, path, headers, status):
    async with gateway(cors_origins=[PAGE]) as g:
        began, *_ = await g.asgi(path, headers={"origin": PAGE, **headers})

    said = {name.decode(): value.decode() for name, value in began["headers"]}
    assert (began["status"], said["access-control-allow-origin"]) == (status, PAGE)
    assert {"x-request-id", "retry-after"} <= set(said["access-control-expose-headers"].split(", "))
