"""The command itself, as a process."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

COMMAND = [sys.executable, "-m", "mockclaude", "serve"]


@pytest.fixture
def started():
    running = []

    def start(*words, **options):
        process = subprocess.Popen(
            [*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def url_of(process):
    [url] = re.findall(r"http://\S+", process.stdout.readline())
    assert f"ANTHROPIC_BASE_URL={url}" in process.stdout.readline()
    urllib.request.urlopen(f"{url}/_mock/health", timeout=10).close()
    return url


@pytest.mark.parametrize(("how", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=["TERM", "INT"])
def test_it_picks_a_free_port_says_where_and_stops_quickly_with_a_stream_open(started, how, code):
    process = started("--port", "0")
    url = url_of(process)
    body = b'{"model":"claude-opus-5","max_tokens":4000,"stream":true,"messages":[{"role":"user","content":"x"}]}'
    headers = {"x-api-key": "a", "anthropic-version": "2023-06-01"}
    request = urllib.request.Request(f"{url}/v1/messages", body, headers)

    with urllib.request.urlopen(request, timeout=10) as stream:
        stream.readline()
        began = time.monotonic()
        process.send_signal(how)
        assert process.wait(timeout=10) == code

    assert time.monotonic() - began < 3
    assert process.stderr.read() == ""


def test_a_busy_port_is_one_clear_line(started):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = started("--port", str(taken.getsockname()[1]))
        _, said = process.communicate(timeout=10)

    assert process.returncode == 2
    assert len(said.splitlines()) == 1
    assert "Address already in use" in said


def test_it_serves_on_an_inherited_socket(started):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        os.set_inheritable(listener.fileno(), True)
        process = started("--fd", str(listener.fileno()), pass_fds=[listener.fileno()])

        assert url_of(process).endswith(f":{listener.getsockname()[1]}")
