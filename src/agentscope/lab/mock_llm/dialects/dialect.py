"""What a protocol must say for itself, to be spoken by this server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from agentscope.lab.mock_llm.errors import ApiError
from agentscope.lab.mock_llm.events import EventStream
from agentscope.lab.mock_llm.quota import Charge, Dimension, Quota, Refusal
from agentscope.lab.mock_llm.replies import Reply
from agentscope.lab.mock_llm.request import ModelRequest

HeaderList = list[tuple[bytes, bytes]]


class Provider(Protocol):
    """What all addresses of one provider have in common: keys, headers, errors."""

    id_header: ClassVar[bytes]
    """The response header that names the request."""
    fixed_headers: ClassVar[tuple[tuple[bytes, bytes], ...]]
    retry_in_ms: ClassVar[bool]
    """Whether a 429 may say its wait in milliseconds too."""
    corrected: ClassVar[tuple[Dimension, ...]]
    """The charges that are corrected once it is known what a request used."""

    def api_key(self, headers: Mapping[bytes, bytes]) -> bytes:
        """The caller's key; b'' without one."""
        ...

    def quota_headers(self, quota: Quota, now_ns: int) -> HeaderList:
        """What the quota says of itself."""
        ...

    def spent_headers(self, spent_s: float) -> HeaderList:
        """How long the answer took, where the provider tells."""
        ...

    def refused(self, refusal: Refusal, model: str) -> ApiError:
        """Status 429: the quota is used up."""
        ...

    def planted(self, status: int) -> ApiError:
        """The error of a fault that was asked for."""
        ...

    def error_body(self, error: ApiError, request_id: str) -> dict[str, Any]:
        """The body of an error."""
        ...


class Exchange(Protocol):
    """One request in a protocol, and how its reply is written."""

    @property
    def request(self) -> ModelRequest:
        """What is asked."""
        ...

    def charge(self) -> Charge:
        """What it takes from the quota before it runs."""
        ...

    def whole(self, reply: Reply, model: str) -> bytes:
        """The body of an answer that is not streamed."""
        ...

    def stream(self, reply: Reply, model: str) -> EventStream:
        """The answer as a stream."""
        ...


class Dialect(Protocol):
    """One address of a provider."""

    path: ClassVar[str]

    @property
    def provider(self) -> Provider:
        """Whose address it is."""
        ...

    def read(self, body: bytes) -> Exchange:
        """Read a request; raises ApiError, status 400, saying what is wrong with it."""
        ...
