"""Why a provider refused: its own word for it, from the exception its client raises.

Attempts read no bodies: of those that a client retries nobody does. The last one's body is in the
exception, so the word is told of the inference as a whole.
"""

from __future__ import annotations

import re

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", re.ASCII)
_PLACES = ("error_code", "code", "type", "status")
"""Where the clients keep it: Anthropic's details, OpenAI's code, either's type, Google's status.

Amazon's keep it in the dictionary that stands for the response.
"""


def error_code(error: BaseException) -> str | None:
    """``insufficient_quota``, ``rate_limit_exceeded``, ``overloaded_error``, …, or None.

    Only what looks like such a word: a message might hold anything.
    """
    if not isinstance(error, Exception):
        return None
    words = [getattr(error, name, None) for name in _PLACES]
    response = getattr(error, "response", None)
    if isinstance(response, dict) and isinstance(response.get("Error"), dict):
        words.append(response["Error"].get("Code"))
    for word in words:
        if isinstance(word, str) and _WORD.fullmatch(word):
            return word
    return None
