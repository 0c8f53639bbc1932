"""Which client libraries are hooked, when, and how that is taken back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import aiohttp
import anthropic
import asyncpg
import botocore.client
import botocore.eventstream
import httpx
import httpx2
import openai
import pytest
import urllib3
from openai.resources.chat.completions import AsyncCompletions, Completions
from openai.resources.responses import AsyncResponses, Responses

import agentscope
from agentscope.clients import LIBRARIES, instrument_clients, uninstrument_clients
from agentscope.errors import ConfigError
from agentscope.recording.guard import RAISE_VARIABLE, forget_internal_errors, internal_errors
from agentscope.testing import recording

METHODS: list[tuple[Any, str]] = [
    (anthropic._base_client.SyncAPIClient, "request"),
    (anthropic._base_client.AsyncAPIClient, "request"),
    (httpx.Client, "_send_single_request"),
    (httpx.AsyncClient, "_send_single_request"),
    (httpx2.Client, "_send_single_request"),
    (httpx2.AsyncClient, "_send_single_request"),
    (Completions, "create"),
    (Completions, "parse"),
    (AsyncCompletions, "create"),
    (AsyncCompletions, "parse"),
    (openai.resources.Embeddings, "create"),
    (openai.resources.AsyncEmbeddings, "create"),
    (Responses, "create"),
    (AsyncResponses, "create"),
    (asyncpg.pool.Pool, "_acquire"),
    (asyncpg.pool.Pool, "release"),
    (asyncpg.Connection, "fetch"),
    (asyncpg.Connection, "execute"),
    (asyncpg.prepared_stmt.PreparedStatement, "fetch"),
    (botocore.client.BaseClient, "_make_api_call"),
    (botocore.eventstream.EventStream, "_parse_event"),
    (botocore.eventstream.EventStream, "close"),
    (aiohttp.BaseConnector, "connect"),
    (aiohttp.ClientResponse, "start"),
    (urllib3.HTTPConnectionPool, "urlopen"),
    (urllib3.HTTPConnectionPool, "_get_conn"),
    (urllib3.HTTPConnectionPool, "_make_request"),
    (urllib3.connection.HTTPConnection, "connect"),
    (urllib3.connection.HTTPSConnection, "connect"),
    (urllib3.HTTPResponse, "release_conn"),
    (urllib3.HTTPResponse, "close"),
]


def methods() -> list[Any]:
    return [vars(owner)[name] for owner, name in METHODS]


@pytest.fixture(autouse=True)
def _taken_back() -> Iterator[None]:
    yield
    uninstrument_clients()


def test_everything_is_put_back() -> None:
    """Instrument replaces every method, uninstrument puts the same objects back."""
    originals = methods()
    imported = {"aiohttp", "anthropic", "asyncpg", "httpx", "httpx2", "openai", "urllib3"}
    assert imported <= set(instrument_clients())
    assert all(now is not then for now, then in zip(methods(), originals, strict=True))
    uninstrument_clients()
    assert all(now is then for now, then in zip(methods(), originals, strict=True))


def test_twice_is_once() -> None:
    """A second instrument changes nothing, and one uninstrument takes both back."""
    originals = methods()
    instrument_clients()
    hooked = methods()
    instrument_clients()
    instrument_clients(["httpx"])
    assert all(now is then for now, then in zip(methods(), hooked, strict=True))
    uninstrument_clients()
    uninstrument_clients()
    assert all(now is then for now, then in zip(methods(), originals, strict=True))


def test_by_name_only_what_is_named() -> None:
    """Naming a library hooks that one."""
    originals = methods()
    assert instrument_clients(["httpx2"]) == ["httpx2"]
    changed = [METHODS[i][0] for i, one in enumerate(methods()) if one is not originals[i]]
    assert changed == [httpx2.Client, httpx2.AsyncClient]
    assert instrument_clients("openai") == ["openai"]


def test_an_unknown_name_is_an_error_that_says_what_is_known() -> None:
    """Loud when asked by name."""
    with pytest.raises(ConfigError) as raised:
        instrument_clients(["openai", "opnai"])
    known = ", ".join(sorted(LIBRARIES))
    assert str(raised.value) == f"no hook for the client library 'opnai'; there is one for {known}"


def test_a_library_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Named, it is an error; by default, silence."""
    monkeypatch.setitem(LIBRARIES, "no_such_library", {"no_such_library": ("httpx", "patch")})
    assert "no_such_library" not in instrument_clients()
    with pytest.raises(ConfigError, match="no_such_library is not installed; pip install"):
        instrument_clients(["no_such_library"])


def test_a_version_we_do_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing method leaves the library as it was: loud by name, counted by default."""
    monkeypatch.delenv(RAISE_VARIABLE)
    original = vars(httpx.Client)["_send_single_request"]
    monkeypatch.delattr(httpx.AsyncClient, "_send_single_request")
    forget_internal_errors()
    instrument_clients()
    assert internal_errors() == {"clients.httpx": 1}
    assert vars(httpx.Client)["_send_single_request"] is original
    with pytest.raises(ConfigError, match="this version of httpx cannot be recorded"):
        instrument_clients(["httpx"])
    forget_internal_errors()


def test_a_method_fetched_before_is_let_go() -> None:
    """A bound method that somebody kept is a plain pass-through after uninstrument."""
    instrument_clients()
    with recording(real_time=True) as recorded:
        transport = httpx.MockTransport(lambda request: httpx.Response(200))
        with httpx.Client(transport=transport) as client:
            kept = client._send_single_request
            uninstrument_clients()
            with agentscope.turn("turn"):
                assert kept(client.build_request("GET", "http://x")).status_code == 200
        assert [span.name for span in recorded.spans] == ["turn"]


LATER = """
import sys
from agentscope.clients import instrument_clients, uninstrument_clients
assert instrument_clients() == [], "nothing is imported yet"
assert not {"httpx", "httpx2", "openai", "asyncpg"} & set(sys.modules), "and nothing by us"
import httpx, openai
from openai.resources.chat.completions import Completions
print(type(vars(httpx.Client)["_send_single_request"]).__name__)
print(type(vars(Completions)["create"]).__name__)
uninstrument_clients()
import asyncpg
print(type(vars(Completions)["create"]).__name__)
print(type(vars(asyncpg.Connection)["fetch"]).__name__)
instrument_clients(["asyncpg"])
print(type(vars(asyncpg.Connection)["fetch"]).__name__)
"""


def test_a_library_imported_later() -> None:
    """By default a library is hooked the moment it is imported, and imports none itself."""
    done = subprocess.run(
        [sys.executable, "-c", LATER], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    assert done.stdout.split() == [
        "FunctionWrapper",
        "FunctionWrapper",
        "function",
        "function",
        "FunctionWrapper",
    ]
