"""The provider's quotas: what is left, how soon it is used up, what is asked of it."""

from __future__ import annotations

import thresholds
from agentscope import conventions as c
from by_model import REQUEST_MODEL, gauge, headroom, rate, time_left, tokens
from frame import Panel
from panels import NO_QUOTA, PLAIN, SHARE, Line, lines
from quotas import QUOTA as _QUOTA

_LEGEND = "{{provider}} {{model}} {{dimension}}"

_SOON_S = 2 * thresholds.EXHAUSTION_S.warning
"""Later than that is not soon: such a slope is mostly chance."""


def _asked(amount: str, dimension: str) -> str:
    """``amount`` a second, by model, as a share of what the quota gives a second."""
    of = {"dimension": dimension}
    window = f"max by (model) ({gauge(c.RATELIMIT_WINDOW, of)})"
    limit = f"max by (model) ({gauge(c.RATELIMIT_LIMIT, of)})"
    return f"{amount} * on (model) {window} / on (model) ({limit} > 0)"


def _tokens_asked(kind: str) -> str:
    # Tokens are counted under OpenTelemetry's label, quotas under ours.
    amount = {
        "input_tokens": tokens("input", by=(REQUEST_MODEL,)),
        "output_tokens": tokens("output", by=(REQUEST_MODEL,)),
        "tokens": f"{tokens('input', by=(REQUEST_MODEL,))} + {tokens('output', by=(REQUEST_MODEL,))}",
    }[kind]
    labelled = f'label_replace({amount}, "model", "$1", "{REQUEST_MODEL}", "(.*)")'
    return _asked(f"sum by (model) ({labelled})", kind)


def panels() -> list[Panel]:
    """Headroom, time to exhaustion, what is asked, the quota itself, when it is full again."""
    return [
        lines(
            c.RATELIMIT_REMAINING,
            "Quota left",
            Line(f"min by ({_QUOTA}) ({headroom()})", _LEGEND),
            empty=NO_QUOTA,
            unit=SHARE,
            levels=thresholds.QUOTA_HEADROOM,
            shows="what is left of each quota, as a share of it",
            read="From the headers of every answer, 429s included; the lowest since the point "
            "before, of any instance. A gap while nobody asks.",
            then="the dimension that touches the floor binds: more of that one, fewer requests, or "
            "fewer tokens a request.",
        ),
        lines(
            c.RATELIMIT_REMAINING,
            "Time to exhaustion",
            Line(f"min by ({_QUOTA}) ({time_left()}) < {_SOON_S:g}", _LEGEND),
            empty="nothing runs out",
            unit="s",
            levels=thresholds.EXHAUSTION_S,
            shows="seconds until the quota is used up if it shrinks as it does now",
            read="A straight line through the last two minutes: an estimate. 0 means that it is "
            "used up. A gap means that it does not shrink, that more than half is left, that it "
            "lasts for ten minutes, or that the quota begins anew each minute.",
            then="below five minutes: admit fewer sessions, before the provider refuses them.",
        ),
        lines(
            c.RATELIMIT_WINDOW,
            "Asked of each quota",
            Line(_asked(rate(c.LLM_ATTEMPTS, by=("model",)), "requests"), "requests {{model}}"),
            *(
                Line(_tokens_asked(kind), f"{kind.replace('_', ' ')} {{{{model}}}}")
                for kind in ("tokens", "input_tokens", "output_tokens")
            ),
            empty="no window told",
            unit=SHARE,
            shows="attempts and tokens of the service, as a share of what the quota refills in the "
            "same time",
            read="100 % for long empties it. Other users of the same key are not in it, and some "
            "providers count the longest answer allowed instead of the one given. No line: the "
            "headers do not tell the quota's window.",
            then="the highest line is the dimension to ask for more of; divide the sessions by it "
            "to see how many the quota carries.",
        ),
        lines(
            c.RATELIMIT_LIMIT,
            "Quotas",
            Line(f"max by ({_QUOTA}) ({gauge(c.RATELIMIT_LIMIT)})", _LEGEND),
            empty=NO_QUOTA,
            unit=PLAIN,
            span=12,
            by_tens=True,
            read="As the provider says, in its window; most count per minute. The axis goes by "
            "tens, as tokens are many more than requests.",
            then="a step is a change of tier, or another key.",
        ),
        lines(
            c.RATELIMIT_RESET,
            "Quota full again in",
            Line(f"max by ({_QUOTA}) ({gauge(c.RATELIMIT_RESET)})", _LEGEND),
            empty=NO_QUOTA,
            span=12,
            read="From the last answer, and counted down since; 0 is full.",
            then="long and rising: load exceeds the refill, so waiting will not help.",
        ),
    ]
