"""Fixtures of the recorder's tests: recording in memory, and an ASGI client without sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agentscope.testing import Recorded, recording


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    """Record into memory, with a clock moved by hand and ids that count."""
    with recording() as live:
        yield live


@pytest.fixture
def http_scope() -> Callable[..., dict[str, Any]]:
    """Make the scope of an HTTP request."""

    def make(path: str = "/", method: str = "GET", **more: Any) -> dict[str, Any]:
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"example")],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 8000),
            **more,
        }

    return make
