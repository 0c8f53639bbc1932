"""The committed boards are what the generator writes, and ``--check`` says so in one line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

ROOT = Path(__file__).resolve().parents[2]
FILE = "agentscope-overview.json"
FILES = (
    "agentscope-overview.json",
    "agentscope-llm.json",
    "agentscope-runtime.json",
    "agentscope-load-run.json",
    "agentscope-rules.yml",
    "agentscope-alerts.yml",
)
GENERATED = ROOT / "dashboards" / "generated"
SCHEMA = ROOT / "dashboards" / "schema" / "v1.schema.json"


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
    """Two runs of the generator write the same files, whatever the hash seed."""
    done = build("--directory", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert [line.rpartition("/")[2] for line in done.stdout.splitlines()] == list(FILES)
    for file in FILES:
        committed = (GENERATED / file).read_bytes()
        assert (tmp_path / file).read_bytes() == committed


@pytest.mark.parametrize(
    ("content", "complaints"),
    [
        ({FILE: ""}, [f"{FILE} is missing: run make dashboards"]),
        ({FILE: "{}"}, [f"{FILE} is stale: run make dashboards"]),
        ({"gone.json": "{}"}, ["gone.json is made by nothing: delete it"]),
        (
            dict.fromkeys(FILES, ""),
            [f"{file} is missing: run make dashboards" for file in FILES],
        ),
    ],
    ids=["missing", "stale", "left over", "all missing"],
)
def test_a_stale_directory_is_named_in_one_line_a_file(
    tmp_path: Path, content: dict[str, str], complaints: list[str]
) -> None:
    """Exit code 1, one line on stderr for each, and the files stay as they are."""
    committed = {file: (GENERATED / file).read_text(encoding="utf-8") for file in FILES}
    for name, text in {**committed, **content}.items():
        if text:
            (tmp_path / name).write_text(text, encoding="utf-8")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    done = build("--check", "--directory", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert [line.rpartition("/")[2] for line in done.stderr.splitlines()] == complaints
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_every_board_can_be_imported_anywhere(board: dict[str, Any]) -> None:
    """Classic schema 41 by Grafana's own types, read-only, one tag, told how to be refreshed."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert [error.message for error in Draft7Validator(schema).iter_errors(board)] == []
    head = {key: board[key] for key in ("schemaVersion", "editable", "refresh", "tags")}
    assert head == {
        "schemaVersion": 41,
        "editable": False,
        "refresh": "30s",
        "tags": ["agentscope"],
    }
    assert "id" not in board  # Grafana's own number of a board, different in each


IN_GRAFANA_10 = {
    "panel": {"row", "stat", "timeseries", "xychart"},
    "transformation": {"joinByField"},
    "variable": {"datasource", "query"},
    "matcher": {"byName", "byRegexp", "byFrameRefID", "byIndex"},
    "mapping": {"special"},
    "colour": {"palette-classic", "fixed"},
    "calculation": {"last", "lastNotNull", "max"},
    "threshold style": {"dashed", "area"},
}
"""Of what 10.0 and all after it know, what the boards need."""


def test_nothing_is_asked_of_grafana_that_its_oldest_version_lacks(board: dict[str, Any]) -> None:
    """An importer drops what it does not know without a word, and the panel is another one."""
    found: dict[str, set[str]] = {kind: set() for kind in IN_GRAFANA_10}
    found["variable"] = {one["type"] for one in board["templating"]["list"]}
    found["panel"] = {one["type"] for one in board["panels"]}
    for panel in panels(board):
        field, options = panel["fieldConfig"], panel["options"]
        found["panel"].add(panel["type"])
        found["transformation"] |= {one["id"] for one in panel.get("transformations", [])}
        found["matcher"] |= {one["matcher"]["id"] for one in field["overrides"]}
        found["mapping"] |= {one["type"] for one in field["defaults"].get("mappings", [])}
        found["colour"] |= {field["defaults"].get("color", {"mode": "fixed"})["mode"]}
        found["calculation"] |= set(options.get("reduceOptions", {}).get("calcs", []))
        found["calculation"] |= set(options.get("legend", {}).get("calcs", []))
        style = field["defaults"].get("custom", {}).get("thresholdsStyle", {"mode": "dashed"})
        found["threshold style"].add(style["mode"])
    assert {kind: names - IN_GRAFANA_10[kind] for kind, names in found.items()} == {
        kind: set() for kind in IN_GRAFANA_10
    }
    assert not {"__inputs", "__requires", "__elements", "gnetId", "version"} & board.keys()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda board: board.update(refresh=7), "7 is not"),
        (lambda board: board["panels"][1]["gridPos"].update(h="4"), "is not valid under any"),
        (lambda board: board["panels"][1].pop("type"), "is not valid under any"),
    ],
    ids=["refresh", "height", "type"],
)
def test_the_schema_refuses_what_grafana_would(
    overview: dict[str, Any], spoil: Callable[[Any], object], says: str
) -> None:
    """A refresh that is a number, a height that is a text, a panel without a type."""
    spoil(overview)
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    errors = list(Draft7Validator(schema).iter_errors(overview))
    assert len(errors) == 1
    assert says in errors[0].message


def test_the_boards_are_four_and_lead_to_each_other(boards: list[dict[str, Any]]) -> None:
    """Uid, title, and the links in panels' corners: to a board that there is, time and all."""
    titles = {board["uid"]: board["title"] for board in boards}
    assert titles == {
        "agentscope-overview": "Agent overview",
        "agentscope-llm": "LLM and rate limits",
        "agentscope-runtime": "Runtime and resources",
        "agentscope-load-run": "Load run",
    }
    links = [link for board in boards for panel in panels(board) for link in panel.get("links", [])]
    assert {(link["title"], link["url"]) for link in links} == {
        (title, f"/d/{uid}?${{__url_time_range}}&${{__all_variables}}")
        for uid, title in titles.items()
    }
    for board in boards:
        (others,) = board["links"]
        assert (others["tags"], others["asDropdown"]) == (["agentscope"], True)
        assert others["includeVars"]
        assert others["keepTime"]


def test_variables_are_each_chained_on_the_last(boards: list[dict[str, Any]]) -> None:
    """Data source, job, instance, route everywhere; the model, by either name, on its board."""
    chosen = 'job=~"$job", instance=~"$instance"'
    everywhere = [
        ("datasource", "prometheus"),
        ("job", "label_values(agentscope_turns_active, job)"),
        ("instance", 'label_values(agentscope_turns_active{job=~"$job"}, instance)'),
        ("route", f"label_values(agentscope_turn_duration_seconds_count{{{chosen}}}, route)"),
    ]
    either = "(gen_ai_client_operation_duration_seconds|gen_ai_client_inference_duration_seconds)"
    models = f'label_values({{__name__=~"{either}_count", {chosen}}}, gen_ai_request_model)'
    for board in boards:
        found = [(one["name"], one["query"]) for one in board["templating"]["list"]]
        assert found == everywhere + (
            [("model", models)] if board["uid"] == "agentscope-llm" else []
        )


def test_what_is_counted_by_model_is_narrowed_to_the_chosen_one() -> None:
    """On the board of models each query whose series has the label asks for $model."""
    board = json.loads((GENERATED / "agentscope-llm.json").read_text(encoding="utf-8"))
    selectors = re.findall(r"(\w+)(\{[^}]*\})", " ".join(exprs(board)))
    with_model = {name for name, matchers in selectors if 'model=~"$model"' in matchers}
    without = {name for name, matchers in selectors} - with_model
    assert with_model >= {
        "agentscope_llm_attempts_total",
        "agentscope_llm_ratelimit_remaining",
        "gen_ai_client_operation_duration_seconds_bucket",
        "gen_ai_client_inference_usage_input_tokens_total",
        "agentscope_cost_usd_total",
    }
    assert without == {
        "agentscope_turn_duration_seconds_count",
        "agentscope_turns_active",
        "agentscope_wait_duration_seconds_bucket",
        "agentscope_http_pool_in_use",
        "agentscope_http_pool_limit",
        "agentscope_http_pool_waiting",
    }


def test_stages_of_a_load_run_are_regions_on_its_board(boards: list[dict[str, Any]]) -> None:
    """Shown there, to be switched on elsewhere; restarts are shown everywhere."""
    shown = {
        board["uid"]: [(one["name"], one["titleFormat"]) for one in annotations if one["enable"]]
        for board in boards
        for annotations in [board["annotations"]["list"]]
    }
    restarts, stages = ("Restarts", "{{instance}} restarted"), ("Load stages", "{{stage}}")
    assert shown.pop("agentscope-load-run") == [restarts, stages]
    assert list(shown.values()) == [[restarts]] * 3
    for board in boards:
        assert board["annotations"]["list"][1]["expr"] == (
            "max by (stage) (agentscope_load_stage) > 0"
        )


def test_the_scatter_plot_has_the_names_of_its_queries() -> None:
    """Grafana finds the axes by the legends, after both series were joined by time."""
    board = json.loads((GENERATED / "agentscope-load-run.json").read_text(encoding="utf-8"))
    (plot,) = (panel for panel in panels(board) if panel["type"] == "xychart")
    (points,) = plot["options"]["series"]
    legends = [target["legendFormat"] for target in plot["targets"]]
    assert [points[axis]["matcher"]["options"] for axis in ("x", "y")] == legends
    assert legends == ["turns in flight", "good turns per second"]
    assert plot["transformations"] == [
        {"id": "joinByField", "options": {"byField": "Time", "mode": "outer"}}
    ]
    assert plot["pluginVersion"] == "11.6.0"


def test_quantiles_lead_to_traces(board: dict[str, Any]) -> None:
    """Lines made of buckets ask for their exemplars; nothing else does."""
    for panel in panels(board):
        for target in panel["targets"]:
            wanted = panel["type"] == "timeseries" and "histogram_quantile" in target["expr"]
            assert target.get("exemplar", False) is wanted, panel["title"]


ROWS = {
    "overview": """
        Golden signals
        Turns by route
        Where wall time waits
        Model calls and tools
        Runtime
        (The recorder itself)
    """,
    "llm": """
        Calls of models now
        Attempts and hidden retries
        Rate limits
        Latency
        Tokens and cost
    """,
    "runtime": """
        The worst instance now
        Event loop and interpreter
        Threads and pools
        Processor and container
        Memory, sessions, descriptors
        (PostgreSQL)
    """,
    "load-run": """
        The run now
        Throughput against concurrency
        Percentiles
        Errors
        What grows
    """,
}
"""The headlines of every board; in brackets what is folded."""


def test_rows_come_in_the_order_in_which_one_asks(board: dict[str, Any]) -> None:
    """Figures first, what explains them below."""
    assert [
        f"({one['title']})" if one["collapsed"] else one["title"]
        for one in board["panels"]
        if one["type"] == "row"
    ] == [line.strip() for line in ROWS[board["uid"].removeprefix("agentscope-")].split("\n")[1:-1]]


def test_no_two_panels_overlap_and_no_row_has_a_gap(board: dict[str, Any]) -> None:
    """Every cell of the 24 columns belongs to one panel; lines of panels are full."""
    shown = [one for one in board["panels"] if one["type"] != "row"]
    folded = [panel for one in board["panels"] for panel in one.get("panels", [])]
    for group in filter(None, (shown, folded)):
        taken: set[tuple[int, int]] = set()
        for panel in group:
            at = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(at["x"], at["x"] + at["w"])
                for y in range(at["y"], at["y"] + at["h"])
            }
            assert max(x for x, _ in cells) < 24, panel["title"]
            assert not cells & taken, panel["title"]
            taken |= cells
        assert {x for x, _ in taken} == set(range(24))
        assert len(taken) == 24 * len({y for _, y in taken})


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Every panel that is not a headline, the folded ones too."""
    folded = [panel for one in board["panels"] for panel in one.get("panels", [])]
    return [one for one in board["panels"] if one["type"] != "row"] + folded


def exprs(board: dict[str, Any]) -> list[str]:
    return [target["expr"] for panel in panels(board) for target in panel["targets"]]
