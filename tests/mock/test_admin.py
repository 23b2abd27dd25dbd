"""What a rehearsal does to the mock while it runs, on virtual time."""

import asyncio

import pytest

from mockclaude.settings import Settings


async def test_a_reset_sets_t0_and_empties_the_journal(mocked, steady):
    async with mocked(latency=steady) as claude:
        await claude.asked()
        await asyncio.sleep(5)

        told = await claude.call("POST", "/_mock/reset")

        assert told["t"] == 0.0
        assert await claude.journal() == []
        await asyncio.sleep(2)
        clock = await claude.call("GET", "/_mock/clock")
        assert clock["t"] == pytest.approx(2.0)
        assert clock["instance"] == told["instance"]


async def test_a_reset_refills_buckets(mocked, steady):
    async with mocked(latency=steady, limits={"requests_per_minute": 1, "burst": 1}) as claude:
        await claude.asked()
        assert (await claude.asked()).status == 429

        await claude.call("POST", "/_mock/reset")

        assert (await claude.asked()).status == 200


async def test_what_runs_over_a_reset_belongs_to_the_past_but_keeps_its_slot(mocked, steady):
    async with mocked(latency=steady, capacity={"slots": 1}) as claude:
        old = claude.ask("old")
        await asyncio.sleep(0.5)
        await claude.call("POST", "/_mock/reset")
        new = claude.ask("new")
        await old.ended()
        await new.ended()

        [record] = await claude.journal()
        stats = await claude.call("GET", "/_mock/stats")
        assert record["n"] == 1
        assert record["queued"] == pytest.approx(1.5)
        assert (stats["arrived"], stats["completed"]) == (2, 2)


async def test_the_timeline_dips_and_comes_back(mocked, steady):
    async with mocked(
        latency=steady,
        capacity={"slots": 16},
        timeline=[{"at": 5, "for": 8, "capacity": {"slots": 1}}],
    ) as claude:
        seen = []
        for _ in range(4):
            seen.append((await claude.call("GET", "/_mock/stats"))["slots"])
            await asyncio.sleep(4.5)

        assert seen == [16, 16, 1, 16]


async def test_a_reset_begins_the_timeline_anew(mocked):
    async with mocked(timeline=[{"at": 5, "for": 1, "capacity": {"slots": 1}}]) as claude:
        await asyncio.sleep(4)
        await claude.call("POST", "/_mock/reset")

        await asyncio.sleep(2)
        assert (await claude.call("GET", "/_mock/stats"))["slots"] == 1000
        await asyncio.sleep(3.5)
        assert (await claude.call("GET", "/_mock/stats"))["slots"] == 1


async def test_in_a_dip_what_runs_finishes_and_at_its_end_the_queue_is_admitted(mocked, steady):
    async with mocked(
        latency=steady,
        capacity={"slots": 3},
        timeline=[{"at": 1, "for": 9, "capacity": {"slots": 0}}],
    ) as claude:
        running = [claude.ask(text) for text in "abc"]
        await asyncio.sleep(2)
        waiting = [claude.ask(text) for text in "def"]
        for exchange in running + waiting:
            await exchange.ended()

        records = await claude.journal()
        assert [record["ended"] for record in records] == pytest.approx([2.0] * 3 + [12.0] * 3)
        assert [record["queued"] for record in records[3:]] == pytest.approx([8.0] * 3)


async def test_replies_in_flight_keep_the_latency_they_were_planned_with(mocked, steady):
    slow = {"ttft": {"p50": 5, "p95": 5}}
    async with mocked(latency=steady, timeline=[{"at": 1, "for": 1, "latency": slow}]) as claude:
        before = claude.ask("before")
        await asyncio.sleep(1.5)
        during = claude.ask("during")
        await before.ended()
        await during.ended()

        spans = [record["ended"] - record["t"] for record in await claude.journal()]
        assert spans == pytest.approx([2.0, 6.0])


async def test_an_error_share_can_come_and_go(mocked, steady):
    fault = [{"name": "status", "code": 500}]
    async with mocked(latency=steady, timeline=[{"at": 2.5, "for": 2, "faults": fault}]) as claude:
        statuses = []
        for _ in range(4):
            statuses.append((await claude.asked()).status)
            await asyncio.sleep(1)

        assert statuses == [200, 500, 500, 200]


async def test_put_replaces_the_sections_it_names_and_leaves_the_others(mocked):
    async with mocked(capacity={"slots": 2, "queue": 3}, limits={"requests_per_minute": 5}) as claude:
        told = await claude.call("PUT", "/_mock/config", {"capacity": {"slots": 7}})

        assert (told["capacity"]["slots"], told["capacity"]["queue"]) == (7, 1000)
        assert told["limits"] == {"requests_per_minute": 5}
        assert await claude.call("GET", "/_mock/config") == told


async def test_put_admits_queued_work_at_once(mocked, steady):
    async with mocked(latency=steady, capacity={"slots": 0}) as claude:
        waiting = claude.ask()
        await asyncio.sleep(1)

        await claude.call("PUT", "/_mock/config", {"capacity": {"slots": 1}})
        await waiting.ended()

        [record] = await claude.journal()
        assert record["queued"] == pytest.approx(1.0)


async def test_put_arms_a_new_timeline_from_the_t0_that_is(mocked):
    async with mocked() as claude:
        await asyncio.sleep(3)

        await claude.call("PUT", "/_mock/config", {"timeline": [{"at": 4, "for": 1, "capacity": {"slots": 5}}]})
        await asyncio.sleep(1.5)

        assert (await claude.call("GET", "/_mock/config"))["capacity"]["slots"] == 5


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        (b'{"capacity": {"slots": 9, "queue": -1}}', ["capacity", "queue"]),
        (b'{"capacity": {"slots": 9}, "limits": {"rpm": 1}}', ["limits", "rpm"]),
        (b'{"capacity": {"slots": 9}, "timeline": [{"at": 1}]}', ["timeline", 0, "for"]),
        (b'{"capacity": {"slots": 9}, "speed": 1}', ["speed"]),
        (b"[]", []),
        (b"{", []),
        (b"\xff", []),
        (b'{"seed": ' + b"9" * 5000 + b"}", []),
        (b'{"capacity": {"slots": 9}, "responders": [{"fixed": "\\ud800"}]}', []),
        (b'{"capacity": {"slots": 9, "max_queue_wait": NaN}}', []),
    ],
)
async def test_a_bad_body_gets_the_reason_and_changes_nothing(mocked, body, loc):
    async with mocked(capacity={"slots": 2}) as claude:
        reply = await claude.send("PUT", "/_mock/config", body).ended()

        assert reply.status == 400
        assert reply.error["problems"][0]["loc"] == loc
        assert (await claude.call("GET", "/_mock/config"))["capacity"]["slots"] == 2


async def test_the_journal_is_read_page_by_page(mocked, steady):
    async with mocked(latency=steady) as claude:
        for text in "abc":
            await claude.asked(text)
        still_open = claude.ask("d")
        await asyncio.sleep(0.1)

        page = await claude.call("GET", "/_mock/journal?after=1&limit=1")

        assert [record["n"] for record in page["records"]] == [2]
        assert (page["cursor"], page["lost"], page["open"]) == (2, 0, 1)
        await still_open.ended()


@pytest.mark.parametrize(
    ("cursor", "why"),
    [("zzz", "expected a valid integer"), ("9" * 30, "expected less than"), ("-1", "expected greater")],
)
async def test_a_cursor_that_is_none_is_refused_with_the_reason(mocked, cursor, why):
    async with mocked() as claude:
        reply = await claude.send("GET", f"/_mock/journal?after={cursor}").ended()

        problem = reply.error["problems"][0]
        assert reply.status == 400
        assert problem["loc"] == ["query", "after"]
        assert why in problem["message"] and cursor in problem["message"]


async def test_close_ends_what_runs_waits_or_was_left_and_says_how_many(mocked, steady):
    async with mocked(latency=steady, capacity={"slots": 2, "on_disconnect": "finish"}) as claude:
        orphan, stream, waiting = claude.ask("a"), claude.ask("b", stream=True), claude.ask("c")
        await asyncio.sleep(1.05)
        await orphan.leave()
        await asyncio.sleep(0.2)

        told = await claude.call("POST", "/_mock/close")
        await stream.ended()
        await waiting.ended()

        records = {record["n"]: record for record in await claude.journal()}
        stats = await claude.call("GET", "/_mock/stats")
        assert told == {"closed": 3}
        assert {record["outcome"] for record in records.values()} == {"left"}
        assert (records[1]["output_tokens"], records[1]["wasted_tokens"]) == (3, 2)
        assert (records[2]["output_tokens"], records[2]["wasted_tokens"]) == (3, 0)
        assert records[3]["output_tokens"] == 0
        assert (stats["running"], stats["queued"], stats["open"], stats["cancelled"]) == (0, 0, 0, 3)
        assert not stream.whole


async def test_closing_a_quiet_mock_closes_nothing(mocked):
    async with mocked() as claude:
        assert await claude.call("POST", "/_mock/close") == {"closed": 0}


async def test_stats_tell_what_the_loop_did(mocked):
    async with mocked() as claude:
        await asyncio.sleep(1)
        stats = await claude.call("GET", "/_mock/stats")

        assert stats["stalls"] == []
        assert stats["loop_lag"]["max"] < 0.1
        assert stats["t"] == pytest.approx(1.0)


async def test_prometheus_sees_attempts_levels_and_tokens(mocked, steady):
    async with mocked(latency=steady, capacity={"slots": 3}) as claude:
        await claude.asked()
        await claude.asked(model="claude-invented-by-the-caller")
        text = (await claude.send("GET", "/metrics").ended()).body.decode()

        haiku = "claude-haiku-4-5-20251001"
        assert f'mockclaude_attempts_total{{model="{haiku}",outcome="complete",status="200"}} 1.0' in text
        assert 'mockclaude_attempts_total{model="other",outcome="rejected",status="404"} 1.0' in text
        assert f'mockclaude_output_tokens_total{{model="{haiku}"}} 10.0' in text
        assert "mockclaude_slots 3.0" in text
        flows = {"arrived": 1, "completed": 1, "running": 0, "queued": 0, "turned_away": 0, "cancelled": 0}
        assert [name for name, number in flows.items() if f"mockclaude_{name} {number:.1f}" not in text] == []
        assert "invented" not in text


async def test_two_mocks_in_one_process_share_nothing(mocked, steady):
    async with mocked(latency=steady) as one, mocked(latency=steady) as other:
        await one.asked()

        assert len(await one.journal()) == 1
        assert await other.journal() == []


@pytest.mark.parametrize(
    ("path", "shown", "status"),
    [
        ("/_mock/stats", None, 401),
        ("/_mock/stats", "Bearer wrong", 401),
        ("/_mock/stats", "Basic s3cret", 401),
        ("/_mock/stats", "Bearer s3cret", 200),
        ("/metrics", None, 401),
        ("/_mock/health", None, 200),
    ],
)
async def test_with_an_admin_token_only_health_is_for_everybody(mocked, path, shown, status):
    async with mocked(Settings(admin_token="s3cret")) as claude:
        reply = await claude.send("GET", path, headers={} if shown is None else {"authorization": shown}).ended()

        assert reply.status == status
        assert (await claude.asked()).status == 200


@pytest.mark.parametrize(("port", "status"), [(80, 200), (81, 404)])
async def test_with_an_admin_port_the_other_one_knows_no_admin_paths(mocked, port, status):
    async with mocked(Settings(admin_port=port)) as claude:
        reply = await claude.send("GET", "/_mock/stats").ended()

        assert reply.status == status
        assert (await claude.asked()).status == 200


async def test_a_patch_changes_only_the_keys_it_names(mocked):
    async with mocked(capacity={"slots": 2, "queue": 3}) as claude:
        told = await claude.call("PATCH", "/_mock/config", {"capacity": {"slots": 7}})
        assert (told["capacity"]["slots"], told["capacity"]["queue"]) == (7, 3)

        told = await claude.call("PATCH", "/_mock/config", {"capacity": {"queue": None}})
        assert (told["capacity"]["slots"], told["capacity"]["queue"]) == (7, 1000)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize(
    "body", [b"[]", b"nonsense", b"\xff", b"[" * 100_000, b'{"capacity": {"slots": "x"}}', b'{"x": 1}']
)
async def test_a_change_that_makes_no_sense_changes_nothing(mocked, method, body):
    async with mocked(capacity={"slots": 2}) as claude:
        before = await claude.call("GET", "/_mock/config")
        reply = await claude.send(method, "/_mock/config", body).ended()

        assert (reply.status, reply.json["error"]["type"]) == (400, "invalid_configuration")
        assert await claude.call("GET", "/_mock/config") == before


@pytest.mark.parametrize("body", [b"7", b"null", b'{"name": "stauts"}', b"{}", b"[]"])
async def test_what_is_no_fault_is_refused(mocked, body):
    async with mocked() as claude:
        reply = await claude.send("POST", "/_mock/faults", body).ended()

        assert reply.status == 400
        assert (await claude.call("GET", "/_mock/config"))["faults"] == []


async def test_the_journal_can_be_asked_for_some_records_only(mocked):
    async with mocked(faults=[{"name": "status", "code": 529, "nth": [2]}]) as claude:
        for text in "abc":
            await claude.asked(text, {"x-request-id": text})

        assert [record["n"] for record in await claude.journal("?outcome=fault")] == [2]
        assert [record["n"] for record in await claude.journal("?status=200")] == [1, 3]
        assert [record["n"] for record in await claude.journal("?request_id=c")] == [3]
        assert [record["n"] for record in await claude.journal("?fault=status&status=529")] == [2]
        page = await claude.call("GET", "/_mock/journal?outcome=left")
        assert (page["records"], page["cursor"]) == ([], 3)


async def test_prometheus_sees_the_first_token_of_a_stream_and_the_faults_in_force(mocked, steady):
    config = [{"name": "status", "code": 529, "share": 0.25, "nth": [9]}, {"name": "comments"}]
    async with mocked(latency=steady, faults=config) as claude:
        await claude.asked(stream=True)

        text = (await claude.send("GET", "/metrics").ended()).body.decode()
        haiku = 'model="claude-haiku-4-5-20251001"'
        assert f"mockclaude_time_to_first_token_seconds_sum{{{haiku}}} 1.0" in text
        assert f'mockclaude_time_to_first_token_seconds_bucket{{le="0.75",{haiku}}} 0.0' in text
        assert 'mockclaude_fault_share{fault="status"} 0.25' in text
        assert 'mockclaude_fault_share{fault="comments"} 1.0' in text
        await claude.call("DELETE", "/_mock/faults?name=comments")
        text = (await claude.send("GET", "/metrics").ended()).body.decode()
        assert "comments" not in text


async def test_a_fault_that_is_begun_strikes_also_while_the_timeline_has_its_own(mocked):
    timeline = [{"at": 0, "for": 60, "faults": [{"name": "comments"}]}]
    async with mocked(timeline=timeline) as claude:
        await claude.call("POST", "/_mock/reset")
        begun = await claude.call("POST", "/_mock/faults", {"name": "status", "code": 529})

        assert [fault["name"] for fault in begun["faults"]] == ["comments", "status"]
        assert (await claude.asked()).status == 529
        ended = await claude.call("DELETE", "/_mock/faults")
        assert [fault["name"] for fault in ended["faults"]] == ["comments"]
        assert (await claude.asked()).status == 200


async def test_putting_faults_takes_the_place_of_those_begun(mocked):
    async with mocked() as claude:
        await claude.call("POST", "/_mock/faults", {"name": "status", "code": 529})

        told = await claude.call("PUT", "/_mock/config", {"faults": [{"name": "comments"}]})

        assert [fault["name"] for fault in told["faults"]] == ["comments"]
