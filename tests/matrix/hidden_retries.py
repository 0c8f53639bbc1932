"""One call that is refused twice, opened up; and the same call under plain OpenTelemetry GenAI.

    python tests/matrix/hidden_retries.py

A mock LLM answers 429, 429, 200 with ``Retry-After: 1``. Runs ``retrying.py`` with each client and
each instrumentation, and prints the parts of the call as a Markdown table.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environments import Environments, run_script

from agentscope.lab.mock_llm import MockLlmSettings, running

SETTINGS = MockLlmSettings(port=0, knobs="ttft=50;itl=20;out=8;depth=0;retry-after=1")
LIBRARIES = ("openai", "anthropic")
CALL = "chat mock"


def packages_of(library: str) -> tuple[str, ...]:
    """What ``retrying.py`` needs."""
    return (library, "opentelemetry-sdk", f"opentelemetry-instrumentation-genai-{library}")


@dataclass(frozen=True)
class Call:
    """What one instrumentation recorded of the call."""

    version: str
    span: dict[str, Any]
    below: list[dict[str, Any]]
    """Its attempts and sleeps, in order."""

    def parts_ns(self) -> dict[str, int]:
        """What the call's time went to: each span by its own clock readings."""
        *refused, answered = self.below
        first_token_ns = self.span["start_ns"] + round(self.span["first_token_s"] * 1e9)
        first_request_ns = self.below[0]["start_ns"]
        parts_ns = {"before the first request": first_request_ns - self.span["start_ns"]}
        for number, each in enumerate(refused):
            what = each["name"] if each["status"] is None else f"attempt: {each['status']}"
            parts_ns[f"{number + 1}. {what}"] = duration_ns(each)
        number, status = len(refused) + 1, answered["status"]
        first_ns = first_token_ns - answered["start_ns"]
        parts_ns[f"{number}. attempt: {status}, until its first token"] = first_ns
        parts_ns["    generation"] = self.span["end_ns"] - first_token_ns
        return parts_ns


def duration_ns(span: dict[str, Any]) -> int:
    """How long it took."""
    return int(span["end_ns"]) - int(span["start_ns"])


def measure(python: Path, library: str, instrumentation: str) -> Call:
    """Make the call with ``python``, which has ``packages_of(library)``."""
    with running(SETTINGS) as mock:
        url = mock.anthropic_base_url
        told = json.loads(run_script(python, "retrying.py", library, instrumentation, url))
    spans = told["spans"]
    (span,) = (each for each in spans if each["name"] == CALL)
    below = [each for each in spans if each["parent"] and each["parent"] == span["id"]]
    return Call(told["version"], span, [each for each in below if "http." not in each["name"]])


def table(library: str, ours: Call, theirs: Call) -> str:
    """Both, side by side."""
    parts_ns = ours.parts_ns()
    rows = [(part, _ms(spent_ns), "") for part, spent_ns in parts_ns.items()]
    rows += [
        ("sum of these", _ms(sum(parts_ns.values())), ""),
        (f"the `{CALL}` span", _ms(duration_ns(ours.span)), _ms(duration_ns(theirs.span))),
        ("spans below it", str(len(ours.below)), str(len(theirs.below))),
    ]
    head = [
        f"| {library} {ours.version}: 429, 429, 200 | agentscope | OpenTelemetry GenAI |",
        "| --- | ---: | ---: |",
    ]
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows)])


def _ms(duration_ns: int) -> str:
    return f"{duration_ns / 1e6:.3f} ms"


def main() -> None:
    """Print a table a library."""
    with tempfile.TemporaryDirectory() as folder:
        environments = Environments(Path(folder))
        for library in LIBRARIES:
            python = environments.python_with(*packages_of(library))
            ours, theirs = (
                measure(python, library, instrumentation)
                for instrumentation in ("agentscope", "opentelemetry")
            )
            print(table(library, ours, theirs), end="\n\n")


if __name__ == "__main__":
    main()
