"""urllib3 and requests: attempts of model calls, their waits, and how they end."""

from __future__ import annotations

import contextvars
import gc
import json
import socket
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import requests
import urllib3
from requests.adapters import HTTPAdapter

import agentscope
from agentscope.testing import Recorded, RecordedSpan

Story = Callable[[], list[str]]
Act = Callable[[str], Any]

STREAM = {"stream": True}


def named(recorded: Recorded, name: str) -> list[RecordedSpan]:
    return sorted((s for s in recorded.spans if s.name == name), key=lambda span: span.start_s)


def retries(**options: Any) -> urllib3.Retry:
    """Retries of urllib3's own, 20 ms apart: the first has no pause."""
    return urllib3.Retry(
        3, status_forcelist=[429, 500], allowed_methods=None, backoff_factor=0.01, **options
    )


def ok(url: str) -> None:
    with urllib3.PoolManager() as pool:
        assert json.loads(pool.request("POST", url).data)["id"] == "chatcmpl-1"


def own_retries(url: str) -> None:
    with urllib3.PoolManager(retries=retries()) as pool:
        assert pool.request("POST", url).status == 200


def own_retries_of_requests(url: str) -> None:
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=retries()))
        assert session.post(url).status_code == 200


def retries_used_up(url: str) -> None:
    with urllib3.PoolManager() as pool, pytest.raises(urllib3.exceptions.MaxRetryError):
        pool.request("POST", url, retries=retries().new(total=1))


def read_timeout(url: str) -> None:
    with urllib3.PoolManager() as pool, pytest.raises(urllib3.exceptions.ReadTimeoutError):
        pool.request("POST", url, timeout=0.05, retries=False)


def read_timeout_of_requests(url: str) -> None:
    with pytest.raises(requests.ReadTimeout):
        requests.post(url, timeout=0.05)


def retried_timeout(url: str) -> None:
    with urllib3.PoolManager() as pool:
        assert pool.request("POST", url, timeout=0.2, retries=retries()).status == 200


def refused(url: str) -> None:
    with urllib3.PoolManager() as pool, pytest.raises(urllib3.exceptions.NewConnectionError):
        pool.request("POST", "http://127.0.0.1:1/", retries=False)


def streamed(url: str) -> None:
    with requests.post(url, json=STREAM, stream=True) as response:
        assert b"".join(response.iter_content(64)).endswith(b"[DONE]\n\n")


def read_in_pieces(url: str) -> None:
    with urllib3.PoolManager() as pool:
        response = pool.request("POST", url, preload_content=False)
        while response.read(100):
            continue
        response.release_conn()


def timeout_in_the_body(url: str) -> None:
    response = requests.post(url, json=STREAM, stream=True, timeout=0.03)
    with response, pytest.raises(requests.ConnectionError, match="Read timed out"):
        list(response.iter_content(64))


def broken_off(url: str) -> None:
    response = requests.post(url, json=STREAM, stream=True)
    with response, pytest.raises(requests.exceptions.ChunkedEncodingError):
        list(response.iter_content(64))


def abandoned(url: str) -> None:
    with requests.post(url, json=STREAM, stream=True) as response:
        next(response.iter_content(16))


def released_unread(url: str) -> None:
    with urllib3.PoolManager() as pool:
        response = pool.request("POST", url, body=json.dumps(STREAM), preload_content=False)
        response.drain_conn()
        response.release_conn()


def closed(url: str) -> None:
    with urllib3.PoolManager() as pool:
        pool.request("POST", url, body=json.dumps(STREAM), preload_content=False).close()


def dropped(url: str) -> None:
    with urllib3.PoolManager() as pool:
        response = pool.request("POST", url, body=json.dumps(STREAM), preload_content=False)
        del response
        gc.collect()


def the_readers_own_failure(url: str) -> None:
    with pytest.raises(TimeoutError), requests.post(url, json=STREAM, stream=True):
        raise TimeoutError("of something else")


def given_up_in_a_handler(url: str) -> None:
    try:
        raise urllib3.exceptions.ReadTimeoutError(None, "/", "another")  # type: ignore[arg-type]
    except urllib3.exceptions.HTTPError:
        abandoned(url)


def interrupted(url: str) -> None:
    class Stop(BaseException):
        """As gevent's time-outs are, or a signal handler's."""

    class Socket(urllib3.connection.HTTPConnection):
        def getresponse(self) -> Any:
            raise Stop

    with urllib3.HTTPConnectionPool("127.0.0.1", int(url.split(":")[2].split("/")[0])) as pool:
        pool.ConnectionCls = Socket
        with pytest.raises(Stop):
            pool.urlopen("POST", "/")


E = "urllib3.exceptions."
LIMITED = ["POST #0 429 429", "wait rate_limit", "POST #1 429 429", "wait rate_limit"]
TABLE: list[tuple[Act, str, list[str]]] = [
    (ok, "200", ["POST #0 200"]),
    (own_retries, "429,429,200", [*LIMITED[:1], *LIMITED[2:], "POST #2 200"]),
    (own_retries_of_requests, "429,429,200", [*LIMITED[:1], *LIMITED[2:], "POST #2 200"]),
    (retries_used_up, "500", ["POST #0 500 500", "POST #1 500 500"]),
    (read_timeout, "slow", [f"POST #0 {E}ReadTimeoutError"]),
    (read_timeout_of_requests, "slow", [f"POST #0 {E}ReadTimeoutError"]),
    (retried_timeout, "hold,200", [f"POST #0 {E}ReadTimeoutError", "POST #1 200"]),
    (refused, "200", [f"POST #0 {E}NewConnectionError"]),
    (streamed, "200", ["POST #0 200"]),
    (read_in_pieces, "200", ["POST #0 200"]),
    (timeout_in_the_body, "200", [f"POST #0 200 {E}ReadTimeoutError"]),
    (broken_off, "cut", [f"POST #0 200 {E}ProtocolError"]),
    (abandoned, "200", ["POST #0 200"]),
    (released_unread, "200", ["POST #0 200"]),
    (closed, "200", ["POST #0 200"]),
    (dropped, "200", ["POST #0 200"]),
    (the_readers_own_failure, "200", ["POST #0 200"]),
    (given_up_in_a_handler, "200", ["POST #0 200"]),
    (interrupted, "200", [f"POST #0 {__name__}.interrupted.<locals>.Stop"]),
]


@pytest.mark.parametrize(("act", "script", "expected"), TABLE, ids=[t[0].__name__ for t in TABLE])
def test_the_table(
    provider: Any,
    story: Story,
    caplog: pytest.LogCaptureFixture,
    act: Act,
    script: str,
    expected: list[str],
) -> None:
    """Whatever becomes of a request: one attempt each time it goes out, with its true end."""
    caplog.set_level("ERROR", "urllib3")  # a kept record keeps an exception, its frames, our spans
    with agentscope.turn("turn"), agentscope.llm_call(name="ask"):
        act(provider.url(script))
    assert story() == ["ask", *(f" {line}" for line in expected)]


def test_attempts_and_sleeps_add_up(provider: Any, recorded: Recorded) -> None:
    """What is not an attempt is a sleep, urllib3's own after a Retry-After as well."""

    class Patient(urllib3.Retry):
        def get_retry_after(self, response: Any) -> float | None:
            return int(response.headers["retry-after-ms"]) / 1000

        def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
            return status_code == 429

    with agentscope.turn("turn"), agentscope.llm_call(model="m"), urllib3.PoolManager() as pool:
        pool.request("POST", provider.url("429@200,429@200,200"), retries=Patient(3))
    attempts, sleeps = named(recorded, "POST"), named(recorded, "wait rate_limit")
    assert [a.attributes["http.request.resend_count"] for a in attempts] == [0, 1, 2]
    assert [0.2 <= sleep.duration_s < 0.26 for sleep in sleeps] == [True, True]
    parts_s = sum(span.duration_s for span in [*attempts, *sleeps])
    between_s = attempts[-1].start_s - attempts[0].start_s + attempts[-1].duration_s
    assert parts_s == pytest.approx(between_s, abs=1e-6)


def in_threads(works: list[Callable[[], Any]]) -> None:
    """Do the works at the same time, each in a copy of this context."""
    threads = [
        threading.Thread(target=contextvars.copy_context().run, args=(work,)) for work in works
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)


def test_a_pool_of_one(provider: Any, recorded: Recorded) -> None:
    """Three calls at once over one connection: the second waits once, the third twice."""
    with requests.Session() as session, agentscope.turn("turn"):
        session.mount("http://", HTTPAdapter(pool_maxsize=1, pool_block=True))

        def call() -> None:
            with agentscope.llm_call(model="m"):
                session.post(provider.url("hold"))

        in_threads([call, call, call])
    waits = sorted(span.duration_s for span in named(recorded, "wait http.pool"))
    assert waits == pytest.approx([0.3, 0.6], abs=0.1)
    _, second, third = sorted(named(recorded, "POST"), key=lambda span: span.duration_s)
    assert {span.parent_id for span in named(recorded, "wait http.pool")} == {
        second.span_id,
        third.span_id,
    }


def test_giving_up_while_waiting_for_the_pool(provider: Any, recorded: Recorded) -> None:
    """Whoever gives up in the queue has waited for the pool all the time."""
    with urllib3.PoolManager(maxsize=1, block=True) as pool:
        held = pool.request("POST", provider.url("200"), preload_content=False)
        giving_up = pytest.raises(urllib3.exceptions.EmptyPoolError)
        with agentscope.turn("turn"), agentscope.llm_call(model="m"), giving_up:
            pool.request("POST", provider.url("200"), pool_timeout=0.1)
        held.drain_conn()
        held.release_conn()
    attempt, wait = recorded.span("POST"), recorded.span("wait http.pool")
    assert wait.duration_s == pytest.approx(0.1, abs=0.05)
    assert wait.duration_s == pytest.approx(attempt.duration_s, abs=0.005)
    assert wait.attributes["agentscope.wait.resource"] == f"127.0.0.1:{provider.port}"
    assert attempt.attributes["error.type"] == "urllib3.exceptions.EmptyPoolError"


def test_a_slow_connect_is_a_wait(
    provider: Any, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time until a new connection stands is not the provider's."""
    resolve = socket.getaddrinfo

    def slowly(*args: Any, **kwargs: Any) -> Any:
        threading.Event().wait(0.05)
        return resolve(*args, **kwargs)

    with agentscope.llm_call(model="m"), monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", slowly)
        ok(provider.url("200"))
    wait, attempt = recorded.span("wait http.connect"), recorded.span("POST")
    assert wait.duration_s == pytest.approx(0.05, abs=0.04)
    assert wait.parent_id == attempt.span_id


def test_a_proxy_that_opens_no_tunnel(recorded: Recorded) -> None:
    """The attempt has failed before it was sent, and the time was the connection's."""
    server = socket.create_server(("127.0.0.1", 0))

    def refuse() -> None:
        connection, _ = server.accept()
        connection.recv(1000)
        threading.Event().wait(0.05)
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
        connection.close()

    thread = threading.Thread(target=refuse)
    thread.start()
    port = server.getsockname()[1]
    failing = pytest.raises(urllib3.exceptions.MaxRetryError)
    with agentscope.llm_call(model="m"), failing:
        urllib3.ProxyManager(f"http://127.0.0.1:{port}").request(
            "POST", "https://model.test/", retries=0
        )
    thread.join(10)
    server.close()
    attempt = recorded.span("POST")
    assert attempt.attributes["error.type"] == "OSError"
    assert attempt.attributes["server.address"] == "model.test"
    assert recorded.span("wait http.connect").duration_s == pytest.approx(0.05, abs=0.04)


def test_what_an_attempt_says(provider: Any, recorded: Recorded) -> None:
    """All attributes; headers by allow-list; no path, no query."""
    with agentscope.turn("turn"), agentscope.llm_call(model="m"):
        requests.post(provider.url("429") + "?key=canary")
    span = recorded.span("POST")
    assert span.kind == 3
    assert span.attributes == {
        "http.request.method": "POST",
        "server.address": "127.0.0.1",
        "server.port": provider.port,
        "http.request.resend_count": 0,
        "http.response.status_code": 429,
        "error.type": "429",
        "http.response.header.x-request-id": ["req-1"],
        "http.response.header.openai-processing-ms": ["12"],
        "http.response.header.x-ratelimit-limit-requests": ["60"],
        "http.response.header.x-ratelimit-remaining-requests": ["0"],
        "http.response.header.x-ratelimit-reset-requests": ["1.2s"],
        "http.response.header.retry-after-ms": ["20"],
        "agentscope.llm.server_processing": 0.012,
    }


def test_another_call_is_upstream_and_outside_of_a_turn_nobodys(
    provider: Any, recorded: Recorded
) -> None:
    """A request of a tool is no attempt; one that no span of ours is above has no span."""
    ok(provider.url("200"))
    assert recorded.spans == []
    with agentscope.turn("turn"), agentscope.llm_call(), agentscope.tool(name="lookup"):
        requests.get(provider.url("200"))
    assert recorded.span("GET").attributes == {
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "server.port": provider.port,
        "http.response.status_code": 200,
    }


def test_a_request_lasts_until_its_body_has_come(provider: Any, recorded: Recorded) -> None:
    """A stream's attempt ends with its last byte, not with its head."""
    with agentscope.turn("turn"), agentscope.llm_call(model="m"), requests.Session() as session:
        response = session.post(provider.url("200"), json=STREAM, stream=True)
        assert named(recorded, "POST") == []
        assert len(list(response.iter_lines())) > 2
        assert len(named(recorded, "POST")) == 1
    assert recorded.span("POST").duration_s == pytest.approx(0.1, abs=0.05)


@pytest.mark.parametrize("by", ["urllib3", "requests"])
def test_redirects_are_requests(recorded: Recorded, by: str) -> None:
    """Each request that goes out is one span, whoever follows the redirect."""
    server = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{server.getsockname()[1]}/a"

    def serve() -> None:
        connection, _ = server.accept()
        for first in (b"302 Found\r\nlocation: /b", b"200 OK"):
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 " + first + b"\r\ncontent-length: 0\r\n\r\n")
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    with agentscope.turn("turn"):
        if by == "requests":
            with requests.Session() as session:
                assert [r.status_code for r in session.get(url).history] == [302]
        else:
            with urllib3.PoolManager() as pool:
                assert pool.request("GET", url).status == 200
    thread.join(10)
    server.close()
    statuses = [span.attributes["http.response.status_code"] for span in named(recorded, "GET")]
    assert statuses == [302, 200]


def test_an_exception_is_the_same_object(recorded: Recorded) -> None:
    """What a connection raises is what the caller gets, as it would without us."""
    error = RuntimeError("mine")

    class Broken(urllib3.connection.HTTPConnection):
        def request(self, *args: Any, **kwargs: Any) -> None:
            raise error

    with urllib3.HTTPConnectionPool("127.0.0.1", 1) as pool, agentscope.turn("turn"):
        pool.ConnectionCls = Broken
        with pytest.raises(RuntimeError) as raised:
            pool.urlopen("GET", "/")
    assert raised.value is error
    assert raised.value.__context__ is None
    assert recorded.span("GET").attributes["error.type"] == "RuntimeError"


class OverRequests(httpx.BaseTransport):
    """httpx's requests over a session of requests."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = requests.request(request.method, str(request.url), data=request.read())
        return httpx.Response(response.status_code, content=response.content)


def test_a_request_that_urllib3_carries_for_httpx_is_one(provider: Any, story: Story) -> None:
    """One attempt, which is httpx's; an application called in process asks for itself."""

    def application(environ: Any, start_response: Any) -> list[bytes]:
        with agentscope.phase("inner"):
            ok(provider.url("200"))
        start_response("204 No Content", [])
        return []

    with agentscope.turn("turn"), agentscope.llm_call(name="ask"):
        with httpx.Client(transport=OverRequests()) as client:
            client.post(provider.url("200"))
        with httpx.Client(transport=httpx.WSGITransport(application)) as client:
            client.post("http://application.test/")
    assert story() == ["ask", " POST #0 200", " POST #1 204", " inner", "  POST #2 200"]


def test_a_copy_of_urllib3_is_left_alone(recorded: Recorded) -> None:
    """What others carry in their packages is theirs."""
    from pip._vendor import urllib3 as vendored

    kinds = {type(value).__name__ for value in vars(vendored.HTTPConnectionPool).values()}
    assert "FunctionWrapper" not in kinds
