"""What receivers answer, byte by byte: every answer ends in time, as taken, refused or for later."""

from __future__ import annotations

import gzip
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from agentscope.export.otlp.endpoint import Endpoint
from agentscope.export.otlp.http import MAX_ANSWER_BYTES, HttpChannel
from agentscope.recording.sink import SinkRefused, SinkUnavailable

Answering = Callable[[socket.socket], None]


@contextmanager
def receiver(
    answer: bytes | Answering, tls: ssl.SSLContext | None = None
) -> Iterator[tuple[str, list[bytes]]]:
    """Takes requests and answers each with these bytes, then hangs up; its address and the heads."""
    heads: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                plain, _ = listening.accept()
            except OSError:
                return
            with suppress(OSError), plain:
                connection = plain if tls is None else tls.wrap_socket(plain, server_side=True)
                with connection:
                    heads.append(request_of(connection))
                    if callable(answer):
                        answer(connection)
                    else:
                        connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"127.0.0.1:{listening.getsockname()[1]}", heads
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def request_of(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536) or b"\r\n\r\n"
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while lengths and len(body) < int(lengths[0].split(b":")[1]):
        body += connection.recv(65536)
    return head


def answer(status: str, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    length = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", f"content-length: {length}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def outcome(target: str, **more: Any) -> object:
    channel = HttpChannel(Endpoint(f"http://{target}/v1/traces", timeout_s=5.0, **more))
    try:
        return channel.send(b"spans")
    except SinkUnavailable as refusal:
        return "later", refusal.reason, refusal.retry_after_s
    except SinkRefused as refusal:
        return "never", refusal.reason
    finally:
        channel.close()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (answer("200 OK", b"taken"), b"taken"),
        (answer("202 Accepted"), b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (answer("307 Elsewhere", b"", "location: http://127.0.0.1:1/"), ("never", "http_307")),
        (answer("400 Bad"), ("never", "http_400")),
        (answer("401 Who"), ("never", "http_401")),
        (answer("404 What"), ("never", "http_404")),
        (answer("413 Large"), ("never", "http_413")),
        (answer("500 Oops"), ("never", "http_500")),
        (answer("503 Busy"), ("later", "http_503", None)),
        (answer("429 Many", b"", "retry-after: 7"), ("later", "http_429", 7.0)),
        (answer("429 Many", b"", "retry-after: -7"), ("later", "http_429", 0.0)),
        (answer("429 Many", b"", "retry-after: nan"), ("later", "http_429", None)),
        (answer("429 Many", b"", "retry-after: soon"), ("later", "http_429", None)),
        (
            answer("429 Many", b"", f"retry-after: Fri, 31 Dec {9 * 10**20} 23:59:59 GMT"),
            ("later", "http_429", None),
        ),
        (answer("503 Busy", b"half", length=100), ("later", "http_503", None)),
        (answer("200 OK", b"no gzip", "content-encoding: gzip"), b"no gzip"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc", b""),
        (b"", ("later", "unreachable", None)),
        (b"\x00\x01 garbage\r\n\r\n", ("later", "unreachable", None)),
        (answer("200 OK", b"", *(f"x-{n}: y" for n in range(500))), ("later", "unreachable", None)),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 100 + answer("200 OK", b"taken"), b"taken"),
    ],
)
def test_every_answer_is_one_of_three(said: bytes, expected: object) -> None:
    """The status says how it went; what breaks, lies or makes no sense is tried again later."""
    with receiver(said) as (target, _):
        assert outcome(target) == expected


def test_a_200_that_breaks_off_is_one() -> None:
    """What was taken is not sent again, though the receiver could not say so to the end."""
    with receiver(answer("200 OK", b"half", length=100)) as (target, _):
        assert isinstance(outcome(target), bytes)


def test_a_date_to_come_back_at() -> None:
    """``Retry-After`` may be one."""
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    with receiver(answer("503 Busy", b"", f"retry-after: {date}")) as (target, _):
        found = outcome(target)
    assert isinstance(found, tuple)
    assert found[:2] == ("later", "http_503")
    assert 95 < found[2] <= 100


@pytest.mark.parametrize(
    ("before", "expected"),
    [(b"", ("later", "timeout", None)), (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n", b"")],
    ids=["head", "body"],
)
def test_a_byte_now_and_then_keeps_nobody(before: bytes, expected: object) -> None:
    """The time-out is one of the whole answer, not of each of its bytes."""

    def drip(connection: socket.socket) -> None:
        connection.sendall(before)
        for byte in answer("200 OK", b"x" * 60):
            connection.sendall(bytes([byte]))
            time.sleep(0.05)

    with receiver(drip) as (target, _):
        channel = HttpChannel(Endpoint(f"http://{target}/", timeout_s=0.3))
        began_s = time.monotonic()
        try:
            found: object = channel.send(b"spans")
        except SinkUnavailable as refusal:
            found = "later", refusal.reason, refusal.retry_after_s
        assert time.monotonic() - began_s < 1.5
        assert found == expected
        channel.close()


@pytest.mark.parametrize(
    "body", [b"x" * 5_000_000, gzip.compress(bytes(50_000_000), 9)], ids=["large", "bomb"]
)
def test_little_of_a_large_answer_is_read(body: bytes) -> None:
    """And nothing of it is decompressed."""
    encoding = ["content-encoding: gzip"] if body[:2] == b"\x1f\x8b" else []
    with receiver(answer("200 OK", body, *encoding)) as (target, _):
        assert outcome(target) == body[:MAX_ANSWER_BYTES]


def test_the_key_that_was_given_is_the_key_that_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a password for the same host that lies in ~/.netrc."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with receiver(answer("200 OK", b"", "set-cookie: a=b")) as (target, heads):
        channel = HttpChannel(
            Endpoint(f"http://{target}/", headers={"authorization": "Bearer k", "x-team": "Zoë €"})
        )
        channel.send(b"spans")
        channel.send(b"spans")
        channel.close()
    for head in heads:
        assert b"\r\nauthorization: Bearer k\r\n" in head.replace(
            b"Authorization", b"authorization"
        )
        assert "x-team: Zoë €".encode() in head
        assert b"cookie" not in head.lower()


def test_a_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by every other client of the service; and passed by where ``NO_PROXY`` says so."""
    for name in ("no_proxy", "NO_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    with receiver(answer("200 OK")) as (proxy, heads), receiver(answer("200 OK")) as (own, direct):
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy}")
        outcome("collector.example")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        outcome(own)
        assert [head.split()[1] for head in heads] == [b"http://collector.example/v1/traces"]
        assert [head.split()[1] for head in direct] == [b"/v1/traces"]


def certified(tmp_path: Path, name: str, address: str) -> tuple[Path, Path]:
    key, certificate = tmp_path / f"{name}.key", tmp_path / f"{name}.pem"
    command = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN={name}"
    command += f" -addext subjectAltName={address} -keyout {key} -out {certificate}"
    subprocess.run(command.split(), check=True, capture_output=True)
    return key, certificate


def test_over_tls_both_sides_are_who_they_say(tmp_path: Path) -> None:
    """A receiver of another name gets nothing; one that asks for our certificate sees it."""
    key, certificate = certified(tmp_path, "here", "IP:127.0.0.1")
    other_key, other = certified(tmp_path, "there", "DNS:there.example")
    for theirs, expected in (((certificate, key), b""), ((other, other_key), "tls")):
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*theirs)
        tls.load_verify_locations(certificate)
        tls.verify_mode = ssl.CERT_REQUIRED
        with receiver(answer("200 OK"), tls) as (target, _):
            channel = HttpChannel(
                Endpoint(
                    f"https://{target}/",
                    certificate=str(theirs[0]),
                    client_certificate=str(certificate),
                    client_key=str(key),
                )
            )
            try:
                found: object = channel.send(b"spans")
            except SinkUnavailable as refusal:
                found = refusal.reason
            channel.close()
        assert found == expected
