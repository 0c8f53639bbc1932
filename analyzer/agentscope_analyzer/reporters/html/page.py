"""The whole page: one file that shows the same from a disk, a server or a mail."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from agentscope_analyzer.document import Report
from agentscope_analyzer.reporters.files import write_text
from agentscope_analyzer.reporters.html import appendix, opening, palette
from agentscope_analyzer.reporters.html.findings import findings
from agentscope_analyzer.reporters.html.markup import Html, tag
from agentscope_analyzer.reporters.html.pictures.anatomy import anatomy
from agentscope_analyzer.reporters.html.pictures.ceilings import ceilings
from agentscope_analyzer.reporters.html.pictures.course import course_of_run
from agentscope_analyzer.reporters.html.pictures.durations import durations
from agentscope_analyzer.reporters.html.pictures.loop import loop
from agentscope_analyzer.reporters.html.pictures.memory import memory
from agentscope_analyzer.reporters.html.pictures.quotas import quotas
from agentscope_analyzer.reporters.html.pictures.scalability import scalability
from agentscope_analyzer.reporters.html.pictures.waterfall import waterfall
from agentscope_analyzer.reporters.html.svg import patterns
from agentscope_analyzer.reporters.text import headline_of

_PARTS: Final = [
    ("verdict", "Verdict"),
    ("findings", "Findings"),
    ("anatomy", "Time"),
    ("course", "Course"),
    ("ceilings", "Ceilings"),
    ("scalability", "Scalability"),
    ("waterfall", "A turn"),
    ("loop", "Event loop"),
    ("memory", "Memory"),
    ("quotas", "Quotas"),
    ("durations", "Latency"),
    ("checks", "Checks"),
    ("calls", "Models"),
    ("run", "Run"),
]


def render(report: Report) -> str:
    """The report as one HTML document without a script, a font or a picture from elsewhere."""
    style = stylesheet()
    policy = f"default-src 'none'; style-src '{_hash(style)}'; base-uri 'none'; form-action 'none'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=Html(policy)),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name_="color-scheme", content="light dark"),
        tag("meta", name_="referrer", content="no-referrer"),
        tag("title", f"agentscope: {headline_of(report.verdict.statement)[0]}"),
        tag("style", style),
    )
    body = tag(
        "body",
        patterns(),
        tag("a", "To the findings", href="#findings", class_="skip"),
        opening.head(report),
        tag("main", *_sections(report)),
        tag(
            "footer",
            "Every figure is from a question of ",
            tag("code", "agentscope questions"),
            "; the same report as data: ",
            tag("code", "agentscope analyze RUN --json"),
        ),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def write(report: Report, path: str | Path) -> None:
    """Write the page to a file, replacing it in one step; raises OSError."""
    write_text(path, render(report))


@cache
def stylesheet() -> Html:
    """The page's rules: the file ``style.css`` and the causes' colours."""
    rules = files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    return Html(f"{rules}{palette.stylesheet()}\n")


def _hash(style: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(style.encode()).digest()).decode()}"


def _sections(report: Report) -> list[Html]:
    return [
        opening.verdict(report),
        opening.figures(report),
        opening.contents(_PARTS),
        findings(report),
        tag(
            "section",
            tag("h2", "What the run looked like"),
            anatomy(report),
            course_of_run(report),
            ceilings(report),
            scalability(report),
            waterfall(report),
            loop(report),
            memory(report),
            quotas(report),
            durations(report),
            class_="pictures",
        ),
        appendix.checks(report),
        appendix.calls(report),
        appendix.facts(report),
    ]
