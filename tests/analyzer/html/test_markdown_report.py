"""The comment for a pull request: short, and nothing in it but words."""

import re
from pathlib import Path
from typing import Any

import pytest

from agentscope_analyzer.document import Report
from agentscope_analyzer.reporters import markdown


def test_the_whole_comment(story: Any) -> None:
    """Verdict, confidence, next steps, figures, findings, limits, doubts: in this order."""
    for i in range(40):
        trace = story.turn(f"s{i % 4}", i * 2.0, ("llm.rate_limit", 1.0), ("llm.first_token", 1.0))
        story.call(trace, i * 2.0, 429, 200)
    report = story.report()
    lines = markdown.render(report).splitlines()
    assert lines[0] == "### The provider's quota binds"
    assert lines[2].startswith("50 % of turn time; 40 of 80 attempts refused with 429 or 529; ")
    assert lines[4] == "Confidence: **high** · run story · 40 turns · 4 sessions · 80 s"
    assert lines[6].startswith("1. Get a larger quota")
    text = "\n".join(lines)
    assert "| p50 | p95 | p99 | turns/s | failed | model cost |" in text
    assert (
        f"| **binds** | `llm.rate_limit` | the verdict above | `{report.findings[0].traces[0]}` |"
        in text
    )
    assert "Ruled out: `llm.first_token`" in text
    assert "| llm.requests **(first)** | 60 requests/min |" in text
    assert text.endswith("</details>")
    assert len(text) < 4_000


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a | b", "a \\| b"),
        ("<img src=x>", "&lt;img src=x&gt;"),
        ("[x](http://evil)", "\\[x\\](http:\u200b//evil)"),
        ("www.evil.example", "www\u200b.evil.example"),
        ("@everyone see #12", "@\u200beveryone see \\#\u200b12"),
        ("*b* _i_ `c` ~s~ $m$", "\\*b\\* \\_i\\_ \\`c\\` \\~s\\~ \\$m\\$"),
        ("line\nbreak \u202e", "line\\\\nbreak \\\\u202e"),
        ("&amp;", "&amp;amp;"),
    ],
)
def test_words_stay_words(text: str, written: str) -> None:
    """No link, no mention, no cell, no heading comes out of a name."""
    assert markdown.escaped(text) == written


def test_hostile_names_stay_in_their_cells(hostile_report: Report) -> None:
    """Every row of a table has as many cells as its head; no raw element is there but ours."""
    text = markdown.render(hostile_report)
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1
    assert set(re.findall(r"<[^>]*>", text)) == {
        "<details>",
        "<summary>",
        "</summary>",
        "</details>",
    }
    assert max(map(len, text.split())) < 1_000


def test_a_run_without_anything_is_said_to_be_one(story: Any, tmp_path: Path) -> None:
    """No table of limits, no findings; the file is written in one step."""
    file = tmp_path / "comment.md"
    markdown.write(story.report(), file)
    assert file.read_text().startswith("### Verdict withheld\n\nno turn was found in this run\n")
    assert list(tmp_path.iterdir()) == [file]
