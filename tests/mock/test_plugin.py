"""The pytest plugin, as a test sees it, and as a whole test run does."""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

from mockclaude.settings import ConfigError
from mockclaude.testing import MockClaude  # here, so that runs inside this one do not import it over and over

pytest_plugins = ["pytester"]

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
ASK = """
import json, os, urllib.error, urllib.request

def ask(text="hi"):
    body = {"model": "claude-haiku-4-5", "max_tokens": 5, "messages": [{"role": "user", "content": text}]}
    headers = {"x-api-key": os.environ["ANTHROPIC_API_KEY"], "anthropic-version": "2023-06-01"}
    url = os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        # not urlopen: it keeps the proxies of its first call for good, in this process
        with urllib.request.build_opener().open(request, timeout=5) as got:
            return got.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
"""


def ask(mock, text="hi", patience=30, **fields):
    """One attempt by hand; its status, or None when there was none."""
    body = {"model": "claude-haiku-4-5", "max_tokens": 5, "messages": [{"role": "user", "content": text}]} | fields
    headers = {"x-api-key": "sk-test", "anthropic-version": "2023-06-01"}
    request = urllib.request.Request(mock.url + "/v1/messages", json.dumps(body).encode(), headers)
    try:
        with DIRECT.open(request, timeout=patience) as response:
            response.read()
            return response.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return None


def asking(mock, **fields):
    """A thread in which an attempt is being answered."""
    thread = threading.Thread(target=ask, args=(mock,), kwargs=fields, daemon=True)
    thread.start()
    while not mock.stats()["running"]:
        time.sleep(0.001)
    return thread


@pytest.fixture(autouse=True)
def shell(monkeypatch):
    """What a developer's shell may have set."""
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "https://api.anthropic.com")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-real")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "real")
    monkeypatch.setenv("ANTHROPIC_PROFILE", "work")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "intranet")
    monkeypatch.delenv("no_proxy", raising=False)


@pytest.fixture
def open_shell(shell, monkeypatch):
    """One that takes no proxy."""
    monkeypatch.setenv("NO_PROXY", "*")


def test_clients_find_the_mock_and_no_credential_or_proxy_of_the_shell(mockclaude):
    assert os.environ["ANTHROPIC_BASE_URL"] == mockclaude.url
    assert os.environ["ANTHROPIC_API_KEY"] == "sk-ant-mockclaude"
    assert "ANTHROPIC_AUTH_TOKEN" not in os.environ
    assert "ANTHROPIC_PROFILE" not in os.environ
    assert urllib.request.proxy_bypass("127.0.0.1")
    assert urllib.request.proxy_bypass("intranet")
    assert not urllib.request.proxy_bypass("example.com")


@pytest.mark.mockclaude(seed=1)
@pytest.mark.usefixtures("open_shell")
def test_a_shell_that_takes_no_proxy_at_all_keeps_that():
    assert urllib.request.proxy_bypass("example.com")


def test_its_own_control_takes_no_proxy_either():
    with MockClaude() as mock:
        assert mock.stats()["arrived"] == 0


def test_requests_are_what_was_sent_and_what_became_of_it(mockclaude):
    mockclaude.fault("status", code=529, nth=[2])

    for text in ("one", "two"):
        ask(mockclaude, text)
    ask(mockclaude, max_tokens=-1)

    one, two, three = mockclaude.requests
    assert one.json["messages"][0]["content"] == "one"
    assert one.headers["X-Api-Key"] == "sk-test"
    assert (one.model, one.stream, one.retry_count, one.fault) == ("claude-haiku-4-5", False, 0, None)
    assert (one.status, one.outcome) == (200, "complete")
    assert (two.status, two.outcome, two.fault) == (529, "fault", "status")
    assert (three.status, three.outcome) == (400, "rejected")
    assert 0 <= one.t <= two.t <= three.t < 60  # an event loop may count in milliseconds


def test_an_attempt_whose_client_has_just_gone_has_left(mockclaude):
    mockclaude.fault("stall", after=1, seconds=30)

    for _ in range(5):
        assert ask(mockclaude, stream=True, patience=0.05) is None

    assert [one.outcome for one in mockclaude.requests] == ["left"] * 5


def test_an_attempt_that_is_about_to_end_is_waited_for(mockclaude):
    mockclaude.fault("slow_first_byte", seconds=0.05)
    asking(mockclaude)

    assert [one.outcome for one in mockclaude.requests] == ["complete"]


def test_the_outcome_of_an_attempt_is_known_however_many_there_were(mockclaude):
    for _ in range(10_000):  # a page of the journal
        mockclaude._mock.journal.open({}, 0.0, 0.0).refuse(429, 0.0)

    ask(mockclaude)

    assert [(one.n, one.outcome) for one in mockclaude.requests] == [(10_001, "complete")]
    mockclaude.assert_attempts(10_001)


def test_a_reply_comes_at_once_unless_told_otherwise(mockclaude):
    ask(mockclaude, max_tokens=4000)

    [record] = mockclaude.journal()
    assert record["output_tokens"] == 4000
    assert record["ended"] - record["t"] < 1


@pytest.mark.mockclaude(capacity={"slots": 0, "queue": 0}, faults=[{"name": "status", "code": 500, "nth": [1]}])
def test_the_marker_configures(mockclaude):
    assert [ask(mockclaude), ask(mockclaude)] == [500, 529]


@pytest.mark.mockclaude(faults=[{"name": "status", "code": 500}])
def test_a_fault_ends_with_its_block_and_no_other_does(mockclaude):
    mockclaude.configure(faults=[{"name": "status", "code": 401, "nth": [5]}])
    lasting = mockclaude.fault("status", code=429, nth=[2, 4])

    with mockclaude.fault("status", code=529, nth=[1, 3]):
        inside = [ask(mockclaude), ask(mockclaude)]
    outside = [ask(mockclaude), ask(mockclaude), ask(mockclaude)]
    lasting.close()

    assert inside == [529, 429]
    assert outside == [200, 429, 401]
    assert [fault["code"] for fault in mockclaude.configure()["faults"]] == [401]


def test_a_configuration_may_name_files_wherever_they_are(mockclaude, tmp_path):
    (tmp_path / "ttft.csv").write_text("seconds\n0.2\n")
    ttft = {"distribution": "empirical", "file": str(tmp_path / "ttft.csv"), "column": "seconds"}

    mockclaude.configure(latency={"ttft": ttft, "tokens_per_second": 1e6, "prefill": False})
    ask(mockclaude, stream=True)

    [record] = mockclaude.journal()
    assert record["first_token"] - record["t"] == pytest.approx(0.2, abs=0.1)


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        ("status", {"code": 528}, 'fault "status".code: expected 400, .* got 528'),
        ("status", {}, 'fault "status".code: is missing'),
        ("stall", {"after": 1, "second": 2}, 'did you mean "seconds"'),
        ("statsu", {}, "no fault is called 'statsu' .known: status, slow_first_byte"),
        ("cut", {"nth": 1}, 'fault "cut".nth: .* got 1'),
    ],
)
def test_a_wrong_fault_says_what_is_wrong_and_changes_nothing(mockclaude, name, fields, said):
    with pytest.raises(ConfigError, match=said):
        mockclaude.fault(name, **fields)

    assert ask(mockclaude) == 200


def test_a_wrong_number_of_attempts_lists_those_there_were(mockclaude):
    mockclaude.fault("status", code=529, nth=[1])
    ask(mockclaude)
    ask(mockclaude)

    mockclaude.assert_attempts(2)
    with pytest.raises(AssertionError) as caught:
        mockclaude.assert_attempts(1)

    first, *lines = str(caught.value).splitlines()
    assert first == "expected 1 attempts, got 2"
    assert [line.split()[-2:] for line in lines] == [["fault", "(status)"], ["200", "complete"]]


def test_no_attempt_is_a_number_too(mockclaude):
    mockclaude.assert_attempts(0)
    with pytest.raises(AssertionError, match=r"expected 1 attempts, got 0\n +no attempt"):
        mockclaude.assert_attempts(1)


def test_to_begin_is_to_be_as_new(mockclaude):
    mockclaude.configure(seed=3, capacity={"slots": 1}, limits={"requests_per_minute": 1}, timeline=[])
    mockclaude.fault("hang")
    upload = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.txt"\r\n\r\na\r\n--b--\r\n'
    headers = {"x-api-key": "a", "anthropic-version": "2023-06-01", "content-type": "multipart/form-data; boundary=b"}
    files = urllib.request.Request(mockclaude.url + "/v1/files", upload, headers)
    with DIRECT.open(files) as answer:
        assert answer.status == 200
    hanging = asking(mockclaude, patience=60)
    assert [one.outcome for one in mockclaude.requests] == [None]

    mockclaude.begin()

    hanging.join(3)
    assert not hanging.is_alive()
    assert mockclaude.requests == mockclaude.journal() == []
    assert mockclaude.stats()["running"] == 0
    with MockClaude() as untouched:
        assert mockclaude.configure() == untouched.configure()
    with DIRECT.open(urllib.request.Request(mockclaude.url + "/v1/files", headers=headers)) as answer:
        assert json.load(answer)["data"] == []
    mockclaude.fault("status", code=529, nth=[1])
    assert [ask(mockclaude), ask(mockclaude)] == [529, 200]


@pytest.fixture
def run(pytester):
    """A test run of its own, with this code in it."""
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\naddopts = --strict-markers\n")

    def run(code, *arguments, **modules):
        pytester.makepyfile(ask=ASK, test_it=code, **modules)
        return pytester.runpytest_inprocess("-p", "no:cacheprovider", *arguments)

    return run


def test_nothing_of_one_test_is_left_for_the_next(run):
    result = run("""
        import os, threading, time, urllib.error
        import pytest
        from ask import ask

        before = os.environ.get("ANTHROPIC_BASE_URL")
        left = []

        def leave():
            try:
                ask()
            except OSError:
                left.append("cut off")

        def test_one(mockclaude):
            mockclaude.fault("hang")
            threading.Thread(target=leave).start()
            while not mockclaude.stats()["running"]:
                time.sleep(0.01)

        def test_two():
            soon = time.monotonic() + 2
            while not left and time.monotonic() < soon:
                time.sleep(0.01)
            assert left
            assert os.environ.get("ANTHROPIC_BASE_URL") == before

        def test_three(mockclaude):
            assert mockclaude.requests == []
            assert ask() == 200
            mockclaude.assert_attempts(1)
    """)

    result.assert_outcomes(passed=3)


def test_the_marker_brings_its_fixture_along_before_the_clients(run):
    result = run("""
        import os, pytest
        from ask import ask

        pytestmark = pytest.mark.mockclaude(capacity={"slots": 0}, faults=[{"name": "status", "code": 500}])

        @pytest.fixture
        def client():
            assert "127.0.0.1" in os.environ["ANTHROPIC_BASE_URL"]
            return ask

        @pytest.mark.parametrize("n", [1, 2])
        def test_the_nearest_marker_wins(client, n):
            assert client() == 500

        @pytest.mark.mockclaude(faults=[{"name": "status", "code": 503}])
        def test_it_adds_to_the_others(client, mockclaude):
            assert client() == 503
            assert mockclaude.configure()["capacity"]["slots"] == 0
    """)

    result.assert_outcomes(passed=3)


def test_a_wrong_marker_fails_the_test_with_one_line(run):
    result = run("""
        import pytest

        @pytest.mark.mockclaude(capacity={"slots": -1})
        def test_negative(mockclaude): ...

        @pytest.mark.mockclaude({"capacity": {}})
        def test_positional(mockclaude): ...

        @pytest.mark.mockclaude(capacty={})
        def test_misspelt(): ...

        @pytest.mark.mockclaude(seed={1})
        def test_no_json(mockclaude): ...
    """)

    result.assert_outcomes(errors=4)
    result.stdout.fnmatch_lines(
        [
            "@pytest.mark.mockclaude of *::test_negative: capacity.slots: expected *, got -1",
            "@pytest.mark.mockclaude of *::test_positional: expected sections by their name, *",
            '@pytest.mark.mockclaude of *::test_misspelt: *did you mean "capacity"*',
            "@pytest.mark.mockclaude of *::test_no_json: *set is not JSON serializable",
        ]
    )
    result.stdout.no_fnmatch_line("*plugin.py*")


def test_a_failure_is_told_at_the_tests_own_line_with_the_attempts_there_were(run):
    result = run("""
        from ask import ask

        def test_fault(mockclaude):
            ask()
            mockclaude.fault("status", code=1)

        def test_count(mockclaude):
            mockclaude.assert_attempts(1)
    """)

    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            '>       mockclaude.fault("status", code=1)',
            'E       *ConfigError: fault "status".code: expected *',
            "test_it.py:5: ConfigError",
            "*- mockclaude: attempts -*",
            "   1 * claude-haiku-4-5  whole  retry 0  200  complete",
            ">       mockclaude.assert_attempts(1)",
            "test_it.py:8: AssertionError",
        ]
    )
    result.stdout.no_fnmatch_line("*testing.py*")


def test_without_the_plugin_it_is_not_there(run):
    result = run("def test_it(mockclaude): ...", "-p", "no:mockclaude")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'mockclaude' not found*"])


def test_a_fixture_of_that_name_may_be_made_from_it(run):
    result = run("""
        import pytest

        @pytest.fixture
        def mockclaude(mockclaude):
            return mockclaude.url

        def test_it(mockclaude):
            assert not mockclaude
    """)

    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*mockclaude: attempts*")


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_coroutines_use_it_as_plain_tests_do(run, mode):
    result = run(
        """
        import asyncio, pytest
        from ask import ask

        @pytest.mark.asyncio
        async def test_it(mockclaude):
            assert await asyncio.gather(asyncio.to_thread(ask), asyncio.to_thread(ask)) == [200, 200]
            mockclaude.assert_attempts(2)
        """,
        f"--asyncio-mode={mode}",
    )

    result.assert_outcomes(passed=1)


def test_locusts_plugin_keeps_its_option_and_its_fixtures(run):
    code = """
        def test_it(mockclaude, pytestconfig):
            assert pytestconfig.getoption("--host") == "http://here"
    """

    run(code, "-H", "http://here").assert_outcomes(passed=1)
    listed = run(code, "--fixtures").stdout
    listed.fnmatch_lines(["*fixtures defined from mockclaude.plugin*", "mockclaude -- *"])
    listed.fnmatch_lines(["*fixtures defined from pytest_locust.plugin*", "session -- *", "fastsession -- *"])


@pytest.mark.system
def test_each_worker_of_xdist_has_a_mock_of_its_own(run, pytester):
    result = run(
        """
        import os, pathlib, time, pytest
        from ask import ask

        @pytest.mark.parametrize("n", range(6))
        def test_it(mockclaude, n):
            pathlib.Path(os.environ["PYTEST_XDIST_WORKER"]).write_text(mockclaude.url)
            for _ in range(5):
                assert ask() == 200
                time.sleep(0.05)
            mockclaude.assert_attempts(5)
        """,
        *("-n", "2", "-p", "no:schemathesis", "-p", "no:hypothesispytest"),  # or each worker would load them too
    )

    result.assert_outcomes(passed=6)
    urls = {path.read_text() for path in pytester.path.glob("gw*")}
    assert len(urls) == 2


def test_loading_it_imports_nothing_but_pytest():
    code = """
import sys, pytest, contextlib, os, collections.abc, typing
before = set(sys.modules)
import mockclaude.plugin
print(sorted(set(sys.modules) - before))
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)

    assert said.stdout.strip() == "['mockclaude', 'mockclaude.plugin']"
