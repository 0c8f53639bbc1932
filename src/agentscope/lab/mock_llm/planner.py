"""Tool calls or text: what the model does next.

Two rules that mocks commonly use are wrong. "Any tool message in the history" never calls a tool
after the first turn; "the last message decides" always makes exactly one round. Here each turn
draws how many rounds it takes, from its conversation's text alone, and calls tools until the
history shows that many.
"""

from __future__ import annotations

from dataclasses import dataclass

from agentscope.lab.mock_llm.conversation import Conversation
from agentscope.lab.mock_llm.draws import Draws
from agentscope.lab.mock_llm.knobs import Behaviour
from agentscope.lab.mock_llm.request import Function, ModelRequest


@dataclass(frozen=True, slots=True)
class Plan:
    """What to answer: calls of these functions, or text if there are none."""

    calls: tuple[Function, ...] = ()


def plan_answer(
    request: ModelRequest,
    conversation: Conversation,
    behaviour: Behaviour,
    turn: Draws,
    max_rounds: int,
) -> Plan:
    """Decide what comes next in the turn whose draws are ``turn``.

    Functions are called while the turn's rounds are fewer than its draw of ``depth``; always
    where the caller forces a call; and never where no tools are offered, the caller wants
    none, or ``max_rounds`` rounds have gone by without an answer, forced or not.
    """
    functions = _callable(request)
    if not functions or conversation.unbroken_rounds >= max_rounds:
        return Plan()
    target = turn.choose("depth", behaviour.depth)
    if conversation.rounds >= target and request.choice.mode != "required":
        return Plan()
    here = turn.below("round", conversation.rounds)
    count = 1
    if request.parallel and not request.choice.named:
        count = here.choose("calls", behaviour.calls)
    return Plan(_pick(functions, count, dict(behaviour.tools), here))


def _callable(request: ModelRequest) -> tuple[Function, ...]:
    """The functions that may be called."""
    choice, functions = request.choice, request.offer.functions
    if choice.mode == "none":
        return ()
    if choice.names is None:
        return functions
    return tuple(function for function in functions if function.name in choice.names)


def _pick(
    functions: tuple[Function, ...], count: int, weights: dict[str, float], here: Draws
) -> tuple[Function, ...]:
    """``count`` functions by weight: each once before any comes twice."""
    picked: list[Function] = []
    left: list[Function] = []
    for number in range(count):
        left = left or list(functions)
        weighted = [(index, weights.get(f.name, 1.0)) for index, f in enumerate(left)]
        picked.append(left.pop(here.choose(f"tool {number}", weighted)))
    return tuple(picked)
