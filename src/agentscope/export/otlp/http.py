"""OTLP over HTTP with protobuf bodies, through ``requests``: proxies and TLS are its business."""

from __future__ import annotations

import gzip
import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

from agentscope.errors import ConfigError
from agentscope.export.otlp.endpoint import Endpoint
from agentscope.recording.sink import SinkRefused, SinkUnavailable

RETRYABLE = frozenset({429, 502, 503, 504})
"""The specification's list; what else fails would fail again."""

MAX_ANSWER_BYTES = 64 * 1024


class HttpChannel:
    """A connection to one receiver. One thread at a time."""

    def __init__(self, endpoint: Endpoint) -> None:
        try:
            import requests

            from agentscope.export.otlp.connections import TimedAdapter
        except ImportError:
            raise ConfigError(
                "OTLP over HTTP needs requests: pip install 'agentscope-observability[otlp]'"
            ) from None
        self._failures = requests.exceptions
        self._endpoint = endpoint
        self._session: Any = requests.Session()
        self._session.mount("http://", TimedAdapter())
        self._session.mount("https://", TimedAdapter())
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers.update({"user-agent": "agentscope-otlp"})
        self._session.headers.update(
            (name, value.encode()) for name, value in endpoint.headers.items()
        )
        self._session.headers["content-type"] = "application/x-protobuf"
        # What is compressed here could not be read in bounded memory; an answer is a few bytes.
        self._session.headers["accept-encoding"] = "identity"
        if urlsplit(endpoint.url).username is None:
            # Or a password of ~/.netrc would be sent, and in place of the headers' own key.
            self._session.auth = _as_it_is
        # Given with each request: a session's own gives way to REQUESTS_CA_BUNDLE.
        self._verify: str | bool = endpoint.certificate or True
        if endpoint.client_certificate is not None:
            key = endpoint.client_key
            certificate = endpoint.client_certificate
            self._session.cert = certificate if key is None else (certificate, key)

    def send(self, body: bytes) -> bytes:
        """Send one request; the receiver's answer. Raises SinkUnavailable or SinkRefused."""
        headers = {}
        if self._endpoint.compression == "gzip":
            body, headers = gzip.compress(body, 6), {"content-encoding": "gzip"}
        try:
            with self._session.post(
                self._endpoint.url,
                data=body,
                headers=headers,
                timeout=self._endpoint.timeout_s,
                verify=self._verify,
                # A redirected POST becomes a GET, and a key would go to another host.
                allow_redirects=False,
                stream=True,
            ) as response:
                status, after = response.status_code, response.headers.get("retry-after")
                answer = _body(response.raw)
        except self._failures.Timeout as error:
            raise SinkUnavailable("timeout") from error
        except self._failures.SSLError as error:
            raise SinkUnavailable("tls") from error
        except self._failures.ConnectionError as error:
            raise SinkUnavailable("unreachable") from error
        except Exception as error:  # of urllib3, of codecs, …: no list of them is complete
            raise SinkUnavailable(type(error).__name__) from error
        if 200 <= status < 300:
            return answer
        if status in RETRYABLE:
            raise SinkUnavailable(f"http_{status}", retry_after_s=_seconds(after))
        raise SinkRefused(f"http_{status}")

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()


def _as_it_is(request: Any) -> Any:
    return request


def _body(raw: Any) -> bytes:
    """What an answer holds; nothing where it breaks off: the status has said how it went."""
    try:
        body: bytes = raw.read(MAX_ANSWER_BYTES, decode_content=False)
    except Exception:  # of urllib3, of http.client, of the socket
        return b""
    return body


def _seconds(retry_after: str | None) -> float | None:
    """``Retry-After`` in seconds: it is a number of them or a date; None for what is neither."""
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            date = parsedate_to_datetime(retry_after)
            date = date if date.tzinfo else date.replace(tzinfo=UTC)
            seconds = (date - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    return None if math.isnan(seconds) else max(0.0, seconds)
