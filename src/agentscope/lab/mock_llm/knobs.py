"""What can be set for one run, or for one request in the name of its model.

A model name may carry knobs after an ``@``: they survive any service under test, which passes the
name through. ``mock-gpt4o@depth=0:0.3,1:0.5,2:0.2;ttft=640/0.35`` is the model ``mock-gpt4o``::

    knobs      = knob *( ";" knob )
    profile    = a latency profile: small-fast, frontier, large, long-synthesis, instant
    ttft       = duration [ "/" sigma ]      time to first token, in place of the profile's
    itl        = duration [ "/" sigma ]      time between tokens, in place of the profile's
    out        = tokens [ "/" sigma ]        length of an answer in text
    reasoning  = tokens                      thought before the first visible token
    depth      = distribution                rounds of tool calls in a turn
    calls      = distribution                parallel tool calls in a round
    tools      = name ":" weight *( "," … )  how often each tool is chosen; 1 if not named
    fault      = kind ":" rate *( "," … )    a status, "hang" or "truncate", and its share
    status     = kind *( "," kind )          what the first, second, … attempt gets; 200 is served
    retry-after  = seconds                   sent with each error of the two knobs above
    should-retry = "true" | "false"          sent with them as x-should-retry
    duration   = number [ "ms" | "s" ]       milliseconds if no unit is written
    distribution = whole number | number ":" weight *( "," number ":" weight )

A value with a sigma is lognormal around the median; without one it is always the same, and
``ttft`` also takes away the profile's slow share and its term for the length of the prompt.
Under ``status`` an attempt's number is what the client library says it is; without a word from it,
equal requests are attempts of one another. Attempts after the last get what the last got.
A name whose part after the ``@`` has no ``=`` carries no knobs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from agentscope.lab.mock_llm.faults import Faults, parse_faults, parse_script
from agentscope.lab.mock_llm.latency import PROFILES, LatencyProfile, Lognormal

Weights = tuple[tuple[int, float], ...]

MAX_DEPTH = 64
MAX_CALLS = 16


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How requests are answered: what all knobs together say."""

    latency: LatencyProfile = PROFILES["small-fast"]
    depth: Weights = ((0, 0.3), (1, 0.5), (2, 0.2))
    calls: Weights = ((1, 0.8), (2, 0.2))
    tools: tuple[tuple[str, float], ...] = ()
    reasoning_tokens: int = 0
    faults: Faults = ()
    script: tuple[str, ...] = ()
    """What each attempt gets, whatever ``faults`` says; () to draw."""
    retry_after: str = ""
    """Seconds, as they are written in the header."""
    should_retry: str = ""


def split_model(model: str) -> tuple[str, str]:
    """A model's plain name and its knobs ('' without)."""
    name, at, knobs = model.partition("@")
    return (name, knobs) if at and "=" in knobs else (model, "")


def apply_knobs(text: str, behaviour: Behaviour) -> Behaviour:
    """``behaviour`` with the knobs in ``text`` turned; raises ValueError saying what to write."""
    settings = []
    for entry in filter(None, (part.strip() for part in text.split(";"))):
        name, equals, value = entry.partition("=")
        if name not in KNOBS or not equals:
            msg = f"unknown knob {entry!r}: write one of {', '.join(f'{k}=' for k in KNOBS)}"
            raise ValueError(msg)
        settings.append((name, value))
    # The profile comes first: what it sets is what the others replace.
    for name, value in sorted(settings, key=lambda setting: setting[0] != "profile"):
        try:
            behaviour = KNOBS[name](behaviour, value)
        except ValueError as error:
            msg = f"knob {name}={value}: {error}"
            raise ValueError(msg) from None
    return behaviour


def _profile(behaviour: Behaviour, value: str) -> Behaviour:
    if value not in PROFILES:
        msg = f"write one of {', '.join(PROFILES)}"
        raise ValueError(msg)
    return replace(behaviour, latency=PROFILES[value])


def _ttft(behaviour: Behaviour, value: str) -> Behaviour:
    first = _lognormal(value, _seconds)
    latency = replace(behaviour.latency, first_token_s=first, tail_share=0.0, prompt_token_s=0.0)
    return replace(behaviour, latency=latency)


def _itl(behaviour: Behaviour, value: str) -> Behaviour:
    latency = replace(behaviour.latency, token_s=_lognormal(value, _seconds))
    return replace(behaviour, latency=latency)


def _out(behaviour: Behaviour, value: str) -> Behaviour:
    latency = replace(behaviour.latency, output_tokens=_lognormal(value, _number))
    return replace(behaviour, latency=latency)


def _reasoning(behaviour: Behaviour, value: str) -> Behaviour:
    return replace(behaviour, reasoning_tokens=_whole(value, 1_000_000))


def _depth(behaviour: Behaviour, value: str) -> Behaviour:
    return replace(behaviour, depth=_distribution(value, 0, MAX_DEPTH))


def _calls(behaviour: Behaviour, value: str) -> Behaviour:
    return replace(behaviour, calls=_distribution(value, 1, MAX_CALLS))


def _tools(behaviour: Behaviour, value: str) -> Behaviour:
    weights = []
    for entry in value.split(","):
        name, _, weight = entry.rpartition(":")
        if not name:
            msg = "write NAME:WEIGHT,NAME:WEIGHT"
            raise ValueError(msg)
        weights.append((name, _number(weight)))
    return replace(behaviour, tools=tuple(weights))


def _fault(behaviour: Behaviour, value: str) -> Behaviour:
    return replace(behaviour, faults=parse_faults(value))


def _status(behaviour: Behaviour, value: str) -> Behaviour:
    return replace(behaviour, script=parse_script(value))


def _retry_after(behaviour: Behaviour, value: str) -> Behaviour:
    _number(value)
    return replace(behaviour, retry_after=value.strip())


def _should_retry(behaviour: Behaviour, value: str) -> Behaviour:
    if value not in ("true", "false"):
        msg = "write true or false"
        raise ValueError(msg)
    return replace(behaviour, should_retry=value)


KNOBS: dict[str, Callable[[Behaviour, str], Behaviour]] = {
    "profile": _profile,
    "ttft": _ttft,
    "itl": _itl,
    "out": _out,
    "reasoning": _reasoning,
    "depth": _depth,
    "calls": _calls,
    "tools": _tools,
    "fault": _fault,
    "status": _status,
    "retry-after": _retry_after,
    "should-retry": _should_retry,
}
"""Every knob, by its name."""


def _lognormal(value: str, read: Callable[[str], float]) -> Lognormal:
    median, _, sigma = value.partition("/")
    return Lognormal(read(median), _number(sigma) if sigma else 0.0)


def _seconds(text: str) -> float:
    if text.endswith("ms"):
        return _number(text[:-2]) / 1000
    return _number(text[:-1]) if text.endswith("s") else _number(text) / 1000


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < 1e9:
        msg = f"{text!r} is not a number from 0 on"
        raise ValueError(msg)
    return value


def _whole(text: str, most: int) -> int:
    if not text.isdecimal() or int(text) > most:
        msg = f"{text!r} is not a whole number from 0 to {most}"
        raise ValueError(msg)
    return int(text)


def _distribution(value: str, least: int, most: int) -> Weights:
    weights = []
    for entry in value.split(","):
        number_text, colon, weight = entry.partition(":")
        number = _whole(number_text, most)
        if number < least:
            msg = f"{number} is less than {least}"
            raise ValueError(msg)
        weights.append((number, _number(weight) if colon else 1.0))
    if sum(weight for _, weight in weights) <= 0:
        msg = "the weights add up to nothing"
        raise ValueError(msg)
    return tuple(weights)
