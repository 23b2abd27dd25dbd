"""What a scenario may say of an nginx, and what is written in its configuration for it."""

import dataclasses
import re
from pathlib import Path

import pytest

from loadtests.documents.section import Problem
from loadtests.experiment import nginx
from loadtests.experiment.nginx import LimitReq, Nginx

HERE = Path("/somewhere/else")


def rendered(*upstreams: str, **knobs: object) -> str:
    upstreams = upstreams or ("127.0.0.1:8200",)
    return nginx.render(nginx.parse(knobs), listen="127.0.0.1:8080", upstreams=upstreams, folder=HERE)


def directives(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip().endswith(";")]


@pytest.mark.parametrize(
    ("knobs", "expected"),
    [
        ({}, "proxy_buffering on;"),
        ({"proxy_buffering": False}, "proxy_buffering off;"),
        ({}, "proxy_http_version 1.0;"),
        ({"proxy_http_version": 1.1}, "proxy_http_version 1.1;"),
        ({"proxy_http_version": "1.1"}, "proxy_http_version 1.1;"),
        ({}, "proxy_buffers 8 4096;"),
        ({}, "proxy_buffer_size 4096;"),
        ({}, "proxy_busy_buffers_size 8192;"),
        ({"buffer_size": 16384}, "proxy_buffers 8 16384;"),
        ({"buffer_size": 16384}, "proxy_buffer_size 16384;"),
        ({"buffer_size": 1024, "header_buffer_size": 4096}, "proxy_buffer_size 4096;"),
        ({"buffer_size": 1024, "header_buffer_size": 4096}, "proxy_buffers 8 1024;"),
        ({"buffer_size": 1024, "header_buffer_size": 4096}, "proxy_busy_buffers_size 4096;"),
        ({}, "gzip off;"),
        ({"gzip": True}, "gzip on;"),
        ({"gzip": True}, "gzip_types text/event-stream application/json;"),
        ({}, "proxy_set_header Connection close;"),
        ({"proxy_http_version": 1.1, "keepalive": 8}, 'proxy_set_header Connection "";'),
        ({"proxy_http_version": 1.1, "keepalive": 8}, "keepalive 8;"),
        ({"keepalive_timeout": 5}, "keepalive_timeout 5000ms;"),
        ({"proxy_connect_timeout": 0.25}, "proxy_connect_timeout 250ms;"),
        ({"proxy_send_timeout": 2}, "proxy_send_timeout 2000ms;"),
        ({"proxy_read_timeout": 1.5}, "proxy_read_timeout 1500ms;"),
        ({"client_max_body_size": 33554432}, "client_max_body_size 33554432;"),
        ({"proxy_max_temp_file_size": 0}, "proxy_max_temp_file_size 0;"),
        ({"proxy_request_buffering": False}, "proxy_request_buffering off;"),
        ({"proxy_ignore_client_abort": True}, "proxy_ignore_client_abort on;"),
        ({"proxy_pass_header": ["X-Accel-Buffering"]}, "proxy_pass_header X-Accel-Buffering;"),
        ({"proxy_next_upstream": ["error", "non_idempotent"]}, "proxy_next_upstream error non_idempotent;"),
        ({"proxy_next_upstream_tries": 2}, "proxy_next_upstream_tries 2;"),
        ({"max_fails": 0}, "server 127.0.0.1:8200 max_fails=0;"),
        (
            {"limit_req": {"rate": 20}},
            "limit_req_zone $binary_remote_addr zone=callers:1m rate=20r/s;",
        ),
        ({"limit_req": {"rate": 0.5}}, "limit_req_zone $binary_remote_addr zone=callers:1m rate=30r/m;"),
        ({"limit_req": {"rate": 20, "burst": 5}}, "limit_req zone=callers burst=5 nodelay;"),
        ({"limit_req": {"rate": 20}}, "limit_req zone=callers;"),
        ({"limit_req": {"rate": 20, "status": 429}}, "limit_req_status 429;"),
    ],
)
def test_a_knob_is_a_directive(knobs: dict[str, object], expected: str):
    assert expected in directives(rendered(**knobs))


def test_every_knob_changes_something():
    other = {
        "proxy_buffering": False,
        "proxy_http_version": "1.1",
        "buffer_size": 8192,
        "header_buffer_size": 8192,
        "gzip": True,
        "keepalive": 4,
        "keepalive_timeout": 9,
        "client_max_body_size": 9,
        "proxy_max_temp_file_size": 0,
        "proxy_connect_timeout": 9,
        "proxy_send_timeout": 9,
        "proxy_read_timeout": 9,
        "proxy_request_buffering": False,
        "proxy_ignore_client_abort": True,
        "proxy_pass_header": ["Server"],
        "proxy_next_upstream": ["off"],
        "proxy_next_upstream_tries": 9,
        "max_fails": 9,
        "upstreams": 2,
        "limit_req": {"rate": 9},
    }
    needs = {"keepalive": {"proxy_http_version": "1.1"}}

    assert set(other) == {field.name for field in dataclasses.fields(Nginx)}
    for name, value in other.items():
        base = needs.get(name, {})
        assert rendered(**base, **{name: value}) != rendered(**base), name


def test_what_is_not_asked_for_is_not_written():
    text = rendered()

    assert not re.search(r"limit_req|gzip_types|proxy_pass_header|^\s+keepalive ", text, flags=re.MULTILINE)


def test_all_that_is_written_lies_in_the_folder():
    paths = re.findall(r'"(/[^"]*)"', rendered())

    assert sorted(path.rpartition("/")[2] for path in paths) == [
        "access.log",
        "body",
        "error.log",
        "fastcgi",
        "nginx.pid",
        "proxy",
        "scgi",
        "uwsgi",
    ]
    assert all(path.startswith(f"{HERE}/") for path in paths)


def test_the_kernel_may_be_told_how_much_to_keep_for_a_caller():
    told = nginx.render(Nginx(), listen="127.0.0.1:8080", upstreams=["127.0.0.1:8200"], folder=HERE, send_buffer=65536)

    assert "listen 127.0.0.1:8080 reuseport sndbuf=65536;" in directives(told)
    assert "listen 127.0.0.1:8080 reuseport;" in directives(rendered())


def test_two_upstreams_are_two_servers_and_two_nginx_in_a_row_are_two_configurations():
    inner = rendered("127.0.0.1:8200", "127.0.0.1:8201")
    outer = nginx.render(Nginx(), listen="127.0.0.1:8081", upstreams=["127.0.0.1:8080"], folder=HERE)

    assert [line for line in directives(inner) if line.startswith("server ")] == [
        "server 127.0.0.1:8200 max_fails=1;",
        "server 127.0.0.1:8201 max_fails=1;",
    ]
    assert "listen 127.0.0.1:8080 reuseport;" in directives(inner)
    assert "server 127.0.0.1:8080 max_fails=1;" in directives(outer)


def test_it_stays_in_the_foreground_as_one_process():
    assert {"daemon off;", "master_process off;"} <= set(directives(rendered()))
    assert nginx.command("/usr/sbin/nginx", HERE / "nginx.conf") == [
        "/usr/sbin/nginx",
        "-e",
        "stderr",
        "-p",
        "/somewhere/else",
        "-c",
        "/somewhere/else/nginx.conf",
    ]


@pytest.mark.parametrize(
    ("knobs", "where", "said"),
    [
        ([1], (), "got [1], expected a mapping of keys to values"),
        ({"proxy_bufering": True}, ("proxy_bufering",), 'unknown key; did you mean "proxy_buffering"?'),
        ({"gzip": "yes"}, ("gzip",), 'got "yes", expected a valid boolean'),
        ({"proxy_http_version": 2}, ("proxy_http_version",), "got 2, expected '1.0' or '1.1'"),
        ({"buffer_size": "4k"}, ("buffer_size",), 'got "4k", expected a whole number (bytes)'),
        ({"buffer_size": 100}, ("buffer_size",), "got 100, expected greater than or equal to 512 (bytes)"),
        ({"proxy_read_timeout": 0}, ("proxy_read_timeout",), "got 0, expected greater than 0 (seconds)"),
        ({"proxy_next_upstream": ["http_529"]}, ("proxy_next_upstream", 0), 'got "http_529", expected '),
        ({"proxy_next_upstream": []}, ("proxy_next_upstream",), "expected a list of at least 1 item"),
        ({"proxy_pass_header": ["a: b;"]}, ("proxy_pass_header", 0), 'got "a: b;", expected text of the pattern'),
        ({"limit_req": {"rat": 1}}, ("limit_req", "rat"), 'unknown key; did you mean "rate"?'),
        ({"limit_req": {}}, ("limit_req", "rate"), "is missing"),
        ({"limit_req": {"rate": -1}}, ("limit_req", "rate"), "got -1, expected greater than 0 (a second)"),
        ({"limit_req": {"rate": 0.333}}, ("limit_req",), "expected a whole number a second, or a minute"),
        ({"limit_req": {"rate": 1, "status": 200}}, ("limit_req", "status"), "got 200, expected greater than"),
        ({"keepalive": 4}, (), 'got keepalive 4 with HTTP/1.0, expected proxy_http_version: "1.1"'),
        ({"buffer_size": 512, "header_buffer_size": 4096}, (), "expected header_buffer_size <= 6 * buffer_size"),
        ({"proxy_max_temp_file_size": 4096}, (), "got proxy_max_temp_file_size 4096, expected 0 or at least 8192"),
    ],
)
def test_a_bad_knob_is_told_with_its_place(knobs: object, where: tuple[object, ...], said: str):
    with pytest.raises(Problem) as problem:
        nginx.parse(knobs, ("hops", 0, "nginx"))

    assert problem.value.loc == ("hops", 0, "nginx", *where)
    assert said in problem.value.message


def test_what_is_given_is_what_is_read():
    assert nginx.parse({}) == Nginx()
    assert nginx.parse({"limit_req": {"rate": 2}, "proxy_read_timeout": 3}) == Nginx(
        limit_req=LimitReq(2), proxy_read_timeout=3
    )


@pytest.mark.parametrize(
    ("listen", "upstreams", "folder", "said"),
    [
        ("8080", ["a:1"], HERE, 'got address "8080", expected host:port'),
        ("a:1", ["http://a:1"], HERE, 'got address "http://a:1", expected host:port'),
        ("a:1", ["a:1; include /etc/passwd"], HERE, "expected host:port"),
        ("a:1", [], HERE, "got no upstream"),
        ("a:1", ["a:1"], Path("/a$b"), 'got folder "/a$b"'),
        ("a:1", ["a:1"], Path("runs"), 'got folder "runs", expected an absolute path'),
    ],
)
def test_what_cannot_be_written_in_a_configuration_is_refused(listen, upstreams, folder, said: str):
    with pytest.raises(ValueError, match=re.escape(said)):
        nginx.render(Nginx(), listen=listen, upstreams=upstreams, folder=folder)
