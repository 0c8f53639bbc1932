"""The words of an answer in text, in pieces of one token each."""

from __future__ import annotations

from agentscope.lab.mock_llm.draws import Draws
from agentscope.lab.mock_llm.tokens import CHARS_PER_TOKEN

_SENTENCES = (
    "I have gone through the details that you gave and compared them with what is on file.",
    "The current state is shown below, together with the next step for each point.",
    "Nothing more is needed from you for the moment.",
    "If one of the dates does not suit you, tell me which one would and I will look again.",
    "The amount is returned the way it was paid, usually within five working days.",
    "A parcel that has left the warehouse can still be redirected until the evening before.",
    "For larger orders the items may arrive in more than one delivery.",
    "Each delivery has a number of its own, which you can follow from the overview page.",
    "The terms that applied on the day of the order stay as they were.",
    "Where two prices differ, the lower one is charged.",
    "A change of address takes effect at once for everything that has not been packed.",
    "I have kept the earlier answers in mind, so you need not repeat them.",
    "Should anything look wrong to you, the line to mention is the last one.",
    "There is no charge for the first change; later ones cost a small fee.",
    "The colleagues at the counter see the same figures that I see here.",
    "Let me know whether you would like to go on with the first or the second choice.",
)


def _pieces(text: str) -> list[str]:
    return [text[i : i + CHARS_PER_TOKEN] for i in range(0, len(text), CHARS_PER_TOKEN)]


def _padded(text: str) -> str:
    """The text and a gap behind it, to a whole number of tokens."""
    text += " "
    return text + " " * (-len(text) % CHARS_PER_TOKEN)


_STARTS: list[int] = []
_BODY: list[str] = []
for _sentence in _SENTENCES:
    _STARTS.append(len(_BODY))
    _BODY.extend(_pieces(_padded(_sentence)))


def text_pieces(opening: str, count: int, draws: Draws) -> list[str]:
    """``count`` tokens of text that begin with ``opening``, then go on about nothing much."""
    pieces = _pieces(_padded(opening))[:count] if opening else []
    at = _STARTS[draws.below_count("sentence", len(_STARTS))]
    pieces += _BODY[at : at + count - len(pieces)]
    while len(pieces) < count:
        pieces += _BODY[: count - len(pieces)]
    return pieces


def split_text(text: str) -> list[str]:
    """A given text in pieces of one token."""
    return _pieces(text)
