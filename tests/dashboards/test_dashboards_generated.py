"""The committed boards are what the generator writes, and ``--check`` says so in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE = "agentscope-overview.json"
CHOSEN = '{job=~"$job", instance=~"$instance"}'


def build(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "dashboards/build.py", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_committed_boards_are_up_to_date() -> None:
    """Whoever changes the vocabulary or a row runs ``make dashboards`` before committing."""
    done = build("--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_same_vocabulary_gives_the_same_bytes(tmp_path: Path) -> None:
    """Two runs of the generator write one and the same file, whatever the hash seed."""
    done = build("--directory", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"{FILE}\n")
    committed = (ROOT / "dashboards" / "generated" / FILE).read_bytes()
    assert (tmp_path / FILE).read_bytes() == committed


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({}, f"{FILE} is missing: run make dashboards"),
        ({FILE: "{}"}, f"{FILE} is stale: run make dashboards"),
        ({FILE: None, "gone.json": "{}"}, "gone.json is made by no board: delete it"),
    ],
    ids=["missing", "stale", "left over"],
)
def test_a_stale_directory_is_named_in_one_line(
    tmp_path: Path, content: dict[str, str | None], complaint: str
) -> None:
    """Exit code 1, one line on stderr, and the files stay as they are."""
    committed = (ROOT / "dashboards" / "generated" / FILE).read_text(encoding="utf-8")
    for name, text in content.items():
        (tmp_path / name).write_text(committed if text is None else text, encoding="utf-8")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    done = build("--check", "--directory", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert [line.rpartition("/")[2] for line in done.stderr.splitlines()] == [complaint]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_board_can_be_imported_anywhere(overview: dict[str, Any]) -> None:
    """Classic schema 41, read-only, its own uid, the four variables each chained on the last."""
    head = {key: overview[key] for key in ("schemaVersion", "uid", "editable", "refresh", "tags")}
    assert head == {
        "schemaVersion": 41,
        "uid": "agentscope-overview",
        "editable": False,
        "refresh": "30s",
        "tags": ["agentscope"],
    }
    assert [(one["name"], one["query"]) for one in overview["templating"]["list"]] == [
        ("datasource", "prometheus"),
        ("job", "label_values(agentscope_turns_active, job)"),
        ("instance", 'label_values(agentscope_turns_active{job=~"$job"}, instance)'),
        (
            "route",
            f"label_values(agentscope_turn_duration_seconds_count{CHOSEN}, route)",
        ),
    ]
    assert "id" not in overview  # Grafana's own number of a board, different in each


def test_rows_come_in_the_order_in_which_one_asks(overview: dict[str, Any]) -> None:
    """What hurts, where, what for, the provider, the process; the recorder itself is folded."""
    rows = [(one["title"], one["collapsed"]) for one in overview["panels"] if one["type"] == "row"]
    assert rows == [
        ("Golden signals", False),
        ("Turns by route", False),
        ("Where wall time waits", False),
        ("Model calls and tools", False),
        ("Runtime", False),
        ("The recorder itself", True),
    ]


def test_no_two_panels_overlap_and_none_leaves_the_grid(overview: dict[str, Any]) -> None:
    """Every cell of the 24 columns belongs to one panel at most, in the folded row too."""
    shown = [one for one in overview["panels"] if one["type"] != "row"]
    folded = [panel for one in overview["panels"] for panel in one.get("panels", [])]
    for panels in (shown, folded):
        taken: set[tuple[int, int]] = set()
        for panel in panels:
            at = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(at["x"], at["x"] + at["w"])
                for y in range(at["y"], at["y"] + at["h"])
            }
            assert max(x for x, _ in cells) < 24, panel["title"]
            assert not cells & taken, panel["title"]
            taken |= cells
        assert taken
