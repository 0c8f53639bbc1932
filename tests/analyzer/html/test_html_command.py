"""``agentscope analyze --html`` and ``--markdown``: where the report goes."""

from pathlib import Path

import pytest

from agentscope_analyzer.commands import main

OTLP = (
    '{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"%032x","spanId":"%016x","name":"POST /",'
    '"kind":2,"startTimeUnixNano":"1790000000000000000","endTimeUnixNano":"1790000002000000000",'
    '"attributes":[{"key":"agentscope.turn","value":{"boolValue":true}}]}]}]}]}\n'
)


@pytest.fixture(scope="module")
def run_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One turn of two seconds."""
    file = tmp_path_factory.mktemp("run") / "traces-1.jsonl"
    file.write_text(OTLP % (1, 1))
    return file


def test_all_forms_come_from_one_analysis(
    run_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The text on the terminal, each other form in its file."""
    page, comment, data = (tmp_path / name for name in ("r.html", "r.md", "r.json"))
    arguments = ["--html", str(page), "--markdown", str(comment), "--json", str(data)]
    assert main(["analyze", str(run_file), *arguments]) == 0
    assert "VERDICT" in capsys.readouterr().out
    assert page.read_text().startswith('<!doctype html>\n<html lang="en">')
    assert comment.read_text().startswith("### ")
    assert data.read_text().startswith("{")
    assert sorted(tmp_path.iterdir()) == [page, data, comment]


def test_a_comment_can_be_printed(run_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For a job's summary: the comment alone."""
    assert main(["analyze", str(run_file), "--markdown"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("### ")
    assert "VERDICT" not in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["RUN", "--html", "nowhere/r.html"], "cannot write nowhere/r.html: "),
        (
            ["RUN", "--json", "--markdown"],
            "--json and --markdown both print; give one of them a FILE",
        ),
        (
            ["--layers", "a=x", "--html", "r.html"],
            "--html and --markdown show one run; leave --layers out",
        ),
    ],
)
def test_mistakes_say_what_to_type(
    run_file: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """One line, exit code 2."""
    given = [str(run_file) if word == "RUN" else word for word in arguments]
    assert main(["analyze", *given]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"agentscope analyze: error: {said}")
    assert error.count("\n") == 1
