"""The page: one file that opens with the verdict, runs nothing and shows what it was told."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from msgspec.structs import replace

from agentscope.conventions import CAUSES
from agentscope_analyzer.document import Report
from agentscope_analyzer.reporters import html
from agentscope_analyzer.reporters.html.markup import Html, number, tag
from agentscope_analyzer.traced import Section, TracedSpan

VOID = {"meta", "br", "hr", "col"}
PICTURES = (
    "anatomy",
    "course",
    "ceilings",
    "scalability",
    "waterfall",
    "loop",
    "memory",
    "quotas",
    "durations",
)


class Page(HTMLParser):
    """The page as a parser sees it: elements with their attributes, and the words that are shown."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def attributes(self, name: str) -> list[str | None]:
        return [attrs[name] for _, attrs in self.elements if name in attrs]


def test_the_verdict_comes_first(report: Report) -> None:
    """Before any figure or picture: what binds, how sure that is, what to do next."""
    text = Page(html.render(report)).text
    first = text[text.index("Verdict") : text.index("Findings")]
    assert report.verdict.cause == "llm.rate_limit"
    assert "The provider's quota binds" in first
    for clause in report.verdict.statement.partition(": ")[2].split("; "):
        assert clause in first
    assert f"confidence: {report.verdict.confidence}" in first
    assert "What to do next Get a larger quota" in first


def test_every_finding_is_there_with_its_evidence_and_its_traces(report: Report) -> None:
    """What binds, what to watch, what is ruled out; nothing of it waits in another file."""
    text = Page(html.render(report)).text
    assert {"binds", "ruled_out"} <= {one.kind for one in report.findings}
    for finding in report.findings:
        assert finding.kind == "binds" or finding.statement in text
        assert [trace for trace in finding.traces if trace not in text] == []
        assert [one.name for one in finding.evidence if one.name not in text] == []


def test_no_script_no_style_attribute_nothing_from_elsewhere(report: Report) -> None:
    """The policy allows the one style sheet in the file and nothing else; the page needs no more."""
    text = html.render(report)
    page = Page(text)
    assert page.open == []
    assert {tag for tag, _ in page.elements} & {
        "script",
        "iframe",
        "object",
        "link",
        "img",
    } == set()
    names = {name for _, attrs in page.elements for name in attrs}
    assert {n for n in names if n.startswith("on") or n in {"style", "src", "srcset"}} == set()
    assert {(link or "")[:1] for link in page.attributes("href")} == {"#"}
    style = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert len(style) == 1
    assert "url(#" in style[0]
    assert set(re.findall(r"url\((.)", style[0])) == {"#"}
    told = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    policy = next(a["content"] for _, a in page.elements if "http-equiv" in a)
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{told}'; base-uri 'none'; form-action 'none'"
    )


def test_every_picture_can_be_read_without_seeing_it(report: Report) -> None:
    """A title, a description and a table of the same figures; ids are given once."""
    text = html.render(report)
    page = Page(text)
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    for key in PICTURES:
        for size in ("wide", "narrow"):
            named = f"{key}-{size}-title {key}-{size}-desc"
            assert named in page.attributes("aria-labelledby")
            assert set(named.split()) <= set(ids)
        figure = re.search(rf'<figure id="{key}">.*?</figure>', text, re.DOTALL)
        assert figure is not None
        assert "<table>" in figure[0]


def test_a_table_has_the_pictures_figures(story: Any) -> None:
    """The table below a turn's time: causes by kinds of turns, as the report has them."""
    for i in range(5):
        story.turn("s", i * 10.0, ("db.query", 1.0), ("llm.first_token", 1.0 + i))
    page = html.render(story.report())
    caption = "Seconds of each cause in one turn, on average"
    rows = re.search(rf"<caption>{caption}</caption>(.*?)</table>", page, re.DOTALL)
    assert rows is not None
    cells = [re.findall(r"<t[hd][^>]*>([^<]*)<", row) for row in rows[1].split("<tr>")[1:]]
    assert cells == [
        [
            "cause",
            "all turns (5 turns)",
            "middle turns (1 turn, the middle fifth)",
            "slow turns (1 turn, from the p95 on)",
            "least load (2 turns, 1 in flight)",
            "middling load (2 turns, 1 in flight)",
            "most load (1 turn, 1 in flight)",
        ],
        ["llm.first_token", "3 s", "3 s", "5 s", "1.5 s", "3.5 s", "5 s"],
        ["db.query", "1 s", "1 s", "1 s", "1 s", "1 s", "1 s"],
        ["together", "4 s", "4 s", "6 s", "2.5 s", "4.5 s", "6 s"],
    ]


def test_hostile_names_stay_words(hostile_report: Report) -> None:
    """Markup, quotes, turned lines and names of 10 000 letters change nothing but the words."""
    text = html.render(hostile_report)
    page = Page(text)
    assert page.open == []
    assert {tag for tag, _ in page.elements} & {"script", "img"} == set()
    assert [c for c in text if c in "\u202e\x00\u2028"] == []
    assert "</script><img" not in text
    assert "&lt;/script&gt;&lt;img" in text
    assert "\\u202e" in page.text
    assert max(len(word) for word in page.text.split()) < 3_000
    assert len(text.encode()) < 500_000


def test_a_run_without_data_says_why_there_is_no_picture(story: Any) -> None:
    """No turn, no metric, no call: a sentence stands where each picture would, and no drawing."""
    page = html.render(story.report())
    for key in PICTURES:
        figure = re.search(rf'<figure id="{key}">(.*?)</figure>', page, re.DOTALL)
        assert figure is not None
        assert '<p class="absent">No picture: ' in figure[1]
        assert "<svg" not in figure[1]
    assert "Verdict withheld" in page


@pytest.mark.parametrize("turns", [1, 3])
def test_the_smallest_runs_can_be_drawn(story: Any, turns: int) -> None:
    """One turn, no bands of durations, no parts of load: what can be drawn is, the rest is not."""
    for i in range(turns):
        story.turn("s", float(i), ("llm.first_token", 0.0001))
    page = Page(html.render(story.report()))
    assert page.open == []
    assert [value for value in page.attributes("d") if value and "nan" in value] == []


def test_a_turn_of_no_length_is_no_division_by_zero(story: Any) -> None:
    """All turns end when they start: nothing to draw, and nothing breaks."""
    story.turn("s", 0.0)
    story.turns[0]["end_ns"] = story.turns[0]["start_ns"]
    assert "Verdict withheld" in html.render(story.report())


def test_a_report_of_an_older_version_is_drawn_without_what_it_lacks(report: Report) -> None:
    """Questions that were not asked leave a sentence, not a traceback."""
    bare = html.render(replace(report, questions={}, exemplar=None))
    assert bare.count('<p class="absent">No picture: ') >= 7


def test_markup_is_escaped_unless_it_is_markup() -> None:
    """Text is never taken for markup; what is markup already is not escaped twice."""
    assert tag("p", "a < b", Html("<b>c</b>"), None, 1.5, title='"', hidden=True, id=None) == (
        '<p title="&quot;" hidden>a &lt; b<b>c</b>1.5</p>'
    )
    assert tag("meta", charset="utf-8") == '<meta charset="utf-8">'


@pytest.mark.parametrize(
    ("value", "written"),
    [(12.0, "12"), (0.26, "0.3"), (-0.01, "0"), (-3.5, "-3.5"), (100, "100"), (0, "0")],
)
def test_coordinates_are_short(value: float, written: str) -> None:
    """A tenth of a pixel is enough, and no zero has a sign."""
    assert number(value) == written


def test_the_fullest_report_stays_small(report: Report) -> None:
    """Every cause in every stretch, as many quotas, spans and sections as a report can carry."""
    turns = report.questions["timeline/turns"]
    stretches = [{**turns[0], "bucket": i, "p50_s": 1.5, "p95_s": 12.25} for i in range(48)]
    for i, row in enumerate(stretches):
        row |= {"start_ns": i * 10**9, "end_ns": (i + 1) * 10**9}
    causes = [{**row, "cause": c, "wall_s": 1.2345} for row in stretches for c in CAUSES]
    quota = {"provider": "p" * 200, "model": "m" * 200, "dimension": "tokens", "quota": 1e6}
    quotas = [
        {**row, **quota, "remaining": 123_456.0, "place": p} for p in range(8) for row in stretches
    ]
    bands = [
        {"band": band, "cause": c, "turns": 10, "wall_s_per_turn": 1.2345}
        for band in ("all", "middle", "slow")
        for c in CAUSES
    ]
    questions = {
        **report.questions,
        "timeline/turns": stretches,
        "timeline/causes": causes,
        "timeline/quotas": quotas,
        "timeline/bands": bands,
    }
    names = list(CAUSES)
    sections = [
        Section(f"s{i % 400}", "x" * 300, names[i % 18], i * 10**6, (i + 1) * 10**6)
        for i in range(2_000)
    ]
    spans = [
        TracedSpan(f"s{i}", "s0", "x" * 300, "CLIENT", "db.query", i % 9, i * 10**6, 2 * 10**9,
                   "OK", "i", True, "y" * 300)
        for i in range(400)
    ]  # fmt: skip
    assert report.exemplar is not None
    exemplar = replace(
        report.exemplar,
        start_ns=0,
        end_ns=2 * 10**9,
        duration_s=2.0,
        critical_path=sections,
        spans=spans,
        causes=dict.fromkeys(names, 0.1),
    )
    text = html.render(replace(report, questions=questions, exemplar=exemplar))
    assert Page(text).open == []
    assert len(text.encode()) < 500_000
