"""The end of the page: can the run be believed, what was asked of models, which run this is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from agentscope_analyzer.document import Check, LlmFigures, Report
from agentscope_analyzer.reporters.html.markup import Child, Html, join, name, tag
from agentscope_analyzer.reporters.html.tables import FIGURE, TEXT, table
from agentscope_analyzer.validity import NOT_MEASURED
from agentscope_analyzer.wording import amount, dollars, figure, number

_ORDER: Final = {"fail": 0, "warn": 1, "ok": 2}
_WORDS: Final = {"fail": "failed", "warn": "doubtful", "ok": "passed"}
MAX_REJECTED: Final = 20


def checks(report: Report) -> Html:
    """What was asked of the run itself, failures first."""
    told = [check for check in report.validity if check.check != NOT_MEASURED]
    told.sort(key=lambda check: _ORDER[check.status])
    counts = {word: sum(_WORDS[c.status] == word for c in told) for word in _WORDS.values()}
    says = ", ".join(f"{n} {word}" for word, n in counts.items() if n)
    return tag(
        "section",
        tag("h2", "Can this run be believed?"),
        tag("p", f"{amount(len(told), 'check')} of the run itself: {says}.") if told else None,
        tag("ul", *(_check(check) for check in told), class_="checks"),
        id="checks",
    )


def _check(check: Check) -> Html:
    return tag(
        "li",
        tag("span", _WORDS[check.status], class_=f"status {check.status}"),
        tag("b", check.check.replace("_", " ")),
        tag("span", check.detail),
    )


def calls(report: Report) -> Html:
    """Calls of models: how many, how often sent, their tokens and their cost."""
    llm = report.llm
    parts: list[Child] = [tag("h2", "Calls of models")]
    if not llm.calls and not llm.by_model:
        why = "No call of a model was recorded." if llm.calls == 0 else "Calls were not recorded."
        return tag("section", *parts, tag("p", why, class_="absent"), id="calls")
    parts.append(_all_calls(llm))
    parts.append(_by_model(llm))
    parts.append(tag("p", *_cost(llm), class_="note"))
    return tag("section", *parts, id="calls")


def _all_calls(llm: LlmFigures) -> Html:
    return table(
        "All calls",
        [
            ("calls", FIGURE),
            ("a turn", FIGURE),
            ("attempts", FIGURE),
            ("hidden retries", FIGURE),
            ("refused", FIGURE),
            ("back-off", FIGURE),
            ("tokens in", FIGURE),
            ("cached", FIGURE),
            ("tokens out", FIGURE),
        ],
        [
            (
                figure(llm.calls, ""),
                figure(llm.calls_per_turn, ""),
                figure(llm.attempts, ""),
                figure(llm.retries_hidden, ""),
                figure(llm.rate_limited, ""),
                figure(llm.backoff_s, "s"),
                figure(llm.tokens.get("input"), ""),
                figure(llm.tokens.get("cache_read"), ""),
                figure(llm.tokens.get("output"), ""),
            )
        ],
    )


_MODEL_COLUMNS: Final = (
    ("calls", "calls", ""),
    ("retries", "retries", ""),
    ("refused", "rate_limited", ""),
    ("p50", "p50_s", "s"),
    ("p95", "p95_s", "s"),
    ("first token p50", "ttft_p50_s", "s"),
    ("first token p95", "ttft_p95_s", "s"),
    ("tokens/s", "tokens_per_s", ""),
    ("tokens in", "input_tokens", ""),
    ("cached", "cache_read_tokens", ""),
    ("tokens out", "output_tokens", ""),
)


def _by_model(llm: LlmFigures) -> Html:
    return table(
        "By model",
        [("model", TEXT), *((title, FIGURE) for title, _, _ in _MODEL_COLUMNS), ("cost", FIGURE)],
        [
            (
                _model(row),
                *(figure(row.get(column), unit) for _, column, unit in _MODEL_COLUMNS),
                dollars(row.get("cost_usd")),
            )
            for row in llm.by_model
        ],
    )


def _model(row: dict[str, Any]) -> Html:
    return name(" ".join(part for part in (row.get("provider"), row.get("model")) if part))


def _cost(llm: LlmFigures) -> Iterable[Child]:
    prices = llm.prices
    checked = f", prices checked up to {prices.date}" if prices.date else ""
    if llm.cost_usd is None:
        yield "Cost: not known."
    else:
        least = "at least " if prices.unpriced or llm.tokens.get("calls_without_usage") else ""
        yield f"Cost: {least}{dollars(llm.cost_usd)} by {prices.source}{checked}."
    for one in prices.unpriced:
        called = " ".join(part for part in (one.provider, one.model) if part)
        yield join(" Not in it: ", name(called or "calls without a model"), f": {one.reason}.")
    missing = llm.tokens.get("calls_without_usage")
    if missing:
        yield f" {amount(missing, 'answered call')} without token usage."


def facts(report: Report) -> Html:
    """Which run this is and what was read of it."""
    run = report.run
    told: list[tuple[str, Child]] = [
        ("run", name(run.id or "–")),
        ("started", run.started or "–"),
        ("ended", run.ended or "–"),
        ("duration", figure(run.duration_s, "s")),
        ("turns", number(run.turns)),
        ("sessions", figure(run.sessions, "")),
        ("spans", number(run.spans)),
        ("instances", number(run.instances)),
        ("complete", "yes" if run.complete else "no: see the checks"),
        ("refused", _rejected(run.rejected)),
        ("schema", report.schema),
    ]
    return tag(
        "section",
        tag("h2", "The run"),
        tag("dl", *(join(tag("dt", key), tag("dd", value)) for key, value in told), class_="facts"),
        id="run",
    )


def _rejected(rejected: dict[str, int]) -> str:
    if not rejected:
        return "nothing"
    worst = sorted(rejected.items(), key=lambda item: -item[1])
    told = ", ".join(f"{reason} {number(n)}" for reason, n in worst[:MAX_REJECTED])
    more = len(worst) - MAX_REJECTED
    return told + (f" and {more} more reasons" if more > 0 else "")
