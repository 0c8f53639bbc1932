"""Tokens and what they cost."""

from __future__ import annotations

import queries
from agentscope import conventions as c
from by_model import REQUEST_MODEL, rate, tokens
from frame import Panel
from panels import CALLS_PER_SECOND, DOLLARS, NO_CALLS, PLAIN, SHARE, Line, lines
from queries import per

_BY_MODEL = (REQUEST_MODEL,)
_LEGEND = f"{{{{{REQUEST_MODEL}}}}}"


def panels() -> list[Panel]:
    """Tokens by kind, per call and per turn, and money."""
    turns = queries.rate(c.TURN_DURATION, "count", any_route=True)
    calls = rate(c.OPERATION_DURATION, "count", by=_BY_MODEL)
    cached = rate(c.INFERENCE_CACHE_READ_TOKENS, by=_BY_MODEL)
    reasoned = rate(c.INFERENCE_REASONING_TOKENS, by=_BY_MODEL)
    return [
        lines(
            c.TOKEN_USAGE,
            "Tokens per second",
            Line(tokens("input", by=_BY_MODEL), f"input {_LEGEND}"),
            Line(tokens("output", by=_BY_MODEL), f"output {_LEGEND}"),
            empty=NO_CALLS,
            unit=PLAIN,
            shows="tokens of model calls, a second",
            read="Counted when a call ends; input includes what the provider had cached.",
            then="input that grows while turns do not is a context that is never cut.",
        ),
        lines(
            c.TOKEN_USAGE,
            "Tokens per call",
            Line(f"{tokens('input', by=_BY_MODEL)} / ({calls} > 0)", f"input {_LEGEND}"),
            Line(f"{tokens('output', by=_BY_MODEL)} / ({calls} > 0)", f"output {_LEGEND}"),
            empty=NO_CALLS,
            unit=PLAIN,
            shows="tokens of a call, on average",
            read="Calls whose answer did not say its tokens count as none.",
            then="input that climbs through the day: conversations that grow; summarize them.",
        ),
        lines(
            c.INFERENCE_CACHE_READ_TOKENS,
            "Cached and reasoning shares",
            Line(f"{cached} / ({tokens('input', by=_BY_MODEL)} > 0)", f"cached {_LEGEND}"),
            Line(f"{reasoned} / ({tokens('output', by=_BY_MODEL)} > 0)", f"reasoning {_LEGEND}"),
            empty="none told",
            unit=SHARE,
            shows="share of input tokens that came from the provider's cache, and of output tokens "
            "that were reasoning",
            read="Only where a provider says so.",
            then="a cached share that falls: something at the start of the prompt changes.",
        ),
        lines(
            c.COST,
            "Cost per hour",
            Line(f"3600 * {rate(c.COST, by=('model',))}", "{{model}}"),
            empty="no prices: pip install genai-prices",
            unit=DOLLARS,
            stacked=True,
            shows="cost of calls at list prices, by the hour",
            read="At the pace of the last window; needs the package genai-prices.",
            then="compare with calls that have no price, beside it.",
        ),
        lines(
            c.COST,
            "Cost per 1,000 turns",
            Line(f"1000 * {per(rate(c.COST, by=('model',)), turns)}", "{{model}}"),
            empty="no prices: pip install genai-prices",
            unit=DOLLARS,
            stacked=True,
            shows="cost of a thousand average turns at list prices",
            read="All routes together.",
            then="compare with the price of the service; `agentscope analyze` tells it by model.",
        ),
        lines(
            c.COST_UNPRICED,
            "Calls without a price",
            Line(rate(c.COST_UNPRICED, by=("model", "reason")), "{{model}} {{reason}}"),
            empty="none",
            unit=CALLS_PER_SECOND,
            read="Not in the cost beside it.",
            then="an unknown model: the price list is older than it; no usage: ask the client for "
            "it (stream_options.include_usage).",
        ),
    ]
