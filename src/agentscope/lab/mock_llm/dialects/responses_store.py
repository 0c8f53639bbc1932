"""What earlier responses said, for ``previous_response_id``."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from agentscope.lab.mock_llm.errors import invalid_request
from agentscope.lab.mock_llm.request import Message


class ResponseStore:
    """Histories by the response they end with; the one that was used longest ago goes first.

    ``max_chars`` bounds the texts of all histories together, counted as if they shared nothing.
    """

    def __init__(self, max_count: int = 50_000, max_chars: int = 256 * 1024 * 1024) -> None:
        self._max_count = max_count
        self._max_chars = max_chars
        self._chars = 0
        self._histories: OrderedDict[str, tuple[Sequence[Message], int]] = OrderedDict()

    def history(self, response_id: str | None) -> Sequence[Message]:
        """What was said up to a response; raises ApiError, status 400, if it is not kept."""
        if response_id is None:
            return ()
        stored = self._histories.get(response_id)
        if stored is None:
            message = f"Previous response with id '{response_id}' not found."
            code, param = "previous_response_not_found", "previous_response_id"
            raise invalid_request(message, code, param)
        self._histories.move_to_end(response_id)
        return stored[0]

    def keep(self, response_id: str, messages: Sequence[Message]) -> None:
        """Keep a history, and forget the oldest where that is too much."""
        chars = sum(message.chars for message in messages)
        self._histories[response_id] = (messages, chars)
        self._chars += chars
        while len(self._histories) > self._max_count or self._chars > self._max_chars:
            _, (_, forgotten) = self._histories.popitem(last=False)
            self._chars -= forgotten
