"""Model calls and tools: tokens, first chunk, quota, attempts."""

from __future__ import annotations

import colours
import thresholds
from agentscope import conventions as c
from by_model import REQUEST_MODEL
from frame import Panel
from links import LLM
from panels import (
    CALLS_PER_SECOND,
    NO_CALLS,
    NO_QUOTA,
    NO_STREAMS,
    PLAIN,
    REQUESTS_PER_SECOND,
    SHARE,
    Line,
    lines,
)
from queries import gauge, headroom, quantile, rate, tokens

_QUOTA = "provider, model, dimension"
_QUOTA_LEGEND = "{{provider}} {{model}} {{dimension}}"
_MODEL = (REQUEST_MODEL,)
_MODEL_LEGEND = f"{{{{{REQUEST_MODEL}}}}}"


def panels() -> list[Panel]:
    """Three lines: what calls cost, what the provider allows, what tools do."""
    return [*_calls(), *_quota(), *_tools()]


def _calls() -> list[Panel]:
    return [
        lines(
            c.TOKEN_USAGE,
            "Tokens per second",
            Line(tokens("input", by=_MODEL), f"input {_MODEL_LEGEND}"),
            Line(tokens("output", by=_MODEL), f"output {_MODEL_LEGEND}"),
            empty=NO_CALLS,
            unit=PLAIN,
            shows="tokens of model calls, a second",
            read="Counted when a call ends; input includes what the provider had cached.",
            then="input that grows while turns do not is a context that is never cut.",
            more=LLM,
        ),
        lines(
            c.OPERATION_FIRST_CHUNK,
            "First chunk, p95",
            Line(quantile(0.95, c.OPERATION_FIRST_CHUNK, by=_MODEL), _MODEL_LEGEND),
            empty=NO_STREAMS,
            read="Streamed calls only; hidden retries and their sleeps are in it.",
            then="compare with model back-off: if that is flat, the provider itself is slower.",
            more=LLM,
        ),
        lines(
            c.OPERATION_DURATION,
            "Call duration, p95",
            Line(quantile(0.95, c.OPERATION_DURATION, by=_MODEL), _MODEL_LEGEND),
            empty=NO_CALLS,
            read="From the request to the last chunk.",
            then="longer with the same first chunk: longer answers, or a slow reader.",
            more=LLM,
        ),
    ]


def _quota() -> list[Panel]:
    return [
        lines(
            c.RATELIMIT_REMAINING,
            "Quota left",
            Line(f"min by ({_QUOTA}) ({headroom()})", _QUOTA_LEGEND),
            empty=NO_QUOTA,
            unit=SHARE,
            levels=thresholds.QUOTA_HEADROOM,
            shows="what is left of the provider's quota, as a share of it",
            read="The lowest reading since the point before, of any instance; a gap while nobody "
            "asks.",
            then="the dimension that touches the floor is the one that binds: more quota for it, "
            "or fewer requests, or fewer tokens a request.",
            more=LLM,
        ),
        lines(
            c.RATELIMIT_RESET,
            "Quota full again in",
            Line(f"max by ({_QUOTA}) ({gauge(c.RATELIMIT_RESET)})", _QUOTA_LEGEND),
            empty=NO_QUOTA,
            read="From the last answer, and counted down since; 0 is full.",
            then="long and rising: load exceeds the quota's refill, so waiting will not help.",
            more=LLM,
        ),
        lines(
            c.LLM_ATTEMPTS,
            "Attempts by status",
            Line(rate(c.LLM_ATTEMPTS, by=("status_class",)), "{{status_class}}"),
            empty=NO_CALLS,
            colours=colours.STATUSES,
            unit=REQUESTS_PER_SECOND,
            stacked=True,
            read="HTTP attempts, retries that the client hides included; none is an attempt "
            "without an answer.",
            then="4xx with little quota left are 429s; 5xx and none are the provider or the "
            "network.",
            more=LLM,
        ),
    ]


def _tools() -> list[Panel]:
    return [
        lines(
            c.TOOL_CALLS,
            "Tool calls",
            Line(rate(c.TOOL_CALLS, by=("tool", "status")), "{{tool}} {{status}}"),
            empty="no tool calls",
            many=True,
            unit=CALLS_PER_SECOND,
            span=12,
            read="By tool and how it ended.",
            then="errors of one tool: its own logs; calls that grow faster than turns: a model "
            "that goes in circles.",
        ),
        lines(
            c.EXECUTE_TOOL_DURATION,
            "Tool duration, p95",
            Line(
                quantile(0.95, c.EXECUTE_TOOL_DURATION, by=("gen_ai_tool_name",)),
                "{{gen_ai_tool_name}}",
            ),
            empty="no tool calls",
            many=True,
            span=12,
            read="Waits inside the tool are in it.",
            then="compare with the database pool's waits: tools share it.",
        ),
    ]
