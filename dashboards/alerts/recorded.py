"""Recording rules: the figures that alerts and other teams' boards ask for again and again.

Named ``level:metric:operations``, as Prometheus advises. Windows are five minutes: at a scrape
every fifteen seconds that is twenty points.
"""

from __future__ import annotations

from typing import Final

import quotas
from agentscope import conventions as c
from agentscope.conventions import Metric

WINDOW: Final = "5m"
WINDOW_S: Final = 300


def rate(metric: Metric, *by: str, part: str = "") -> str:
    """Increase a second over the window, by job and these labels."""
    name = metric.prometheus_name + (f"_{part}" if part else "")
    return f"sum by (job{''.join(f', {label}' for label in by)}) (rate({name}[{WINDOW}]))"


def share(part: str, whole: str) -> str:
    """A ratio of sums with the same labels; 0 where the part has no series yet."""
    return f"({part} or 0 * {whole}) / {whole}"


def quantile(share: float, metric: Metric, *by: str) -> str:
    """The value below which ``share`` of a histogram's observations of the window lie."""
    return f"histogram_quantile({share:g}, {rate(metric, *by, 'le', part='bucket')})"


def per_process(amount: str) -> str:
    """What the processes behind an instance's ``/metrics`` use together, for one of them."""
    return f"{amount} / sum by (job, instance) ({c.PROCESSES.prometheus_name})"


_TURNS = rate(c.TURN_DURATION, part="count")
CALLS: Final = (
    f"sum by (job) (rate({c.OPERATION_DURATION.prometheus_name}_count[{WINDOW}])"
    f" or rate({c.INFERENCE_DURATION.prometheus_name}_count[{WINDOW}]))"
)
"""Calls of models a second, by whichever name each instance records them."""

FAILED_CALLS: Final = (
    f'sum by (job) (rate({c.OPERATION_DURATION.prometheus_name}_count{{error_type!=""}}[{WINDOW}])'
    f' or rate({c.INFERENCE_DURATION.prometheus_name}_count{{error_type!=""}}[{WINDOW}]))'
)
"""Those of them that ended with an error, whatever was tried again."""

CALLED_WINDOW: Final = "3m"
"""Who has not asked for so long knows nothing of a quota that refills in a minute."""

_QUOTA = f"job, {quotas.QUOTA}"
_TOLD = (
    c.RATELIMIT_REMAINING.prometheus_name,
    c.RATELIMIT_LIMIT.prometheus_name,
    f"rate({c.LLM_ATTEMPTS.prometheus_name}[{CALLED_WINDOW}])",
)

TURN_P95: Final = "job:agentscope_turn_duration_seconds:p95_5m"
ROUTE_P95: Final = "job_route:agentscope_turn_duration_seconds:p95_5m"
TURN_RATE: Final = "job:agentscope_turns:rate5m"
ERROR_SHARE: Final = "job:agentscope_turn_errors:share_5m"
QUOTA_HEADROOM: Final = "job_provider_model_dimension:agentscope_llm_ratelimit_headroom:min"
RETRY_SHARE: Final = "job:agentscope_llm_retries_per_call:share_5m"
QUOTA_TIME_LEFT: Final = (
    "job_provider_model_dimension:agentscope_llm_ratelimit_time_left_seconds:min"
)
CALL_ERROR_SHARE: Final = "job:agentscope_llm_call_errors:share_5m"
CALLERS_ASLEEP: Final = "job:agentscope_llm_backoff_seconds:rate5m"

RECORDED: Final[dict[str, str]] = {
    TURN_RATE: _TURNS,
    TURN_P95: quantile(0.95, c.TURN_DURATION),
    ROUTE_P95: quantile(0.95, c.TURN_DURATION, "route"),
    ERROR_SHARE: share(rate(c.ERRORS), _TURNS),
    QUOTA_HEADROOM: f"min by ({_QUOTA}) ({quotas.headroom(*_TOLD)})",
    QUOTA_TIME_LEFT: f"min by ({_QUOTA}) ({quotas.time_left(*_TOLD)})",
    CALL_ERROR_SHARE: share(FAILED_CALLS, f"({CALLS} > 0)"),
    RETRY_SHARE: f"clamp_min({rate(c.LLM_ATTEMPTS)} / ({CALLS} > 0) - 1, 0)",
    CALLERS_ASLEEP: rate(c.LLM_BACKOFF),
}
"""Every recorded series: its name and what it is made of."""
