"""What a protocol must say for itself, to be spoken by this server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from agentscope.lab.mock_llm.errors import ApiError
from agentscope.lab.mock_llm.events import EventStream, Framing
from agentscope.lab.mock_llm.quota import Charge, Dimension, Quota, Refusal
from agentscope.lab.mock_llm.replies import Reply, Usage
from agentscope.lab.mock_llm.request import ModelRequest

HeaderList = list[tuple[bytes, bytes]]


class Provider(Protocol):
    """What all addresses of one provider have in common: keys, headers, errors."""

    id_header: ClassVar[bytes]
    """The response header that names the request; b'' where none does."""
    fixed_headers: ClassVar[tuple[tuple[bytes, bytes], ...]]
    says_retry_after: ClassVar[bool]
    """Whether a header of a 429 says how long to wait."""
    retry_in_ms: ClassVar[bool]
    """Whether a 429 may say its wait in milliseconds too."""
    corrected: ClassVar[tuple[Dimension, ...]]
    """The charges that are corrected once it is known what a request used."""
    framing: ClassVar[Framing]
    """How its streams are written."""

    def api_key(self, headers: Mapping[bytes, bytes]) -> bytes:
        """The caller's key; b'' without one."""
        ...

    def quota_headers(self, quota: Quota, now_ns: int) -> HeaderList:
        """What the quota says of itself."""
        ...

    def spent_headers(self, spent_s: float, usage: Usage | None) -> HeaderList:
        """How long the answer took, where the provider tells, and what a whole one used."""
        ...

    def refused(self, refusal: Refusal, model: str) -> ApiError:
        """Status 429: the quota is used up."""
        ...

    def planted(self, status: int, retry_after: str) -> ApiError:
        """The error of a fault that was asked for; ``retry_after`` is in seconds, or ''."""
        ...

    def error_headers(self, error: ApiError) -> HeaderList:
        """What headers say of an error."""
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

    @property
    def path(self) -> str:
        """Where it is."""
        ...

    @property
    def provider(self) -> Provider:
        """Whose address it is."""
        ...

    def read(self, body: bytes) -> Exchange:
        """Read a request; raises ApiError, status 400, saying what is wrong with it."""
        ...
