"""``agentscope dashboards export``: everything at once, and nothing of the user's is lost."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from prometheus_server import needs_prometheus

from agentscope_analyzer.commands import main
from alerts.watched import ALERTS

ROOT = Path(__file__).resolve().parents[2]
DASHBOARDS = ROOT / "dashboards"
BOARDS = sorted((DASHBOARDS / "generated").glob("*.json"))
FILES = {
    "README.md",
    "boards/agentscope-llm.json",
    "boards/agentscope-load-run.json",
    "boards/agentscope-overview.json",
    "boards/agentscope-runtime.json",
    "rules/RUNBOOK.md",
    "rules/agentscope-alerts.yml",
    "rules/agentscope-rules.yml",
}


def tree(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def export(*arguments: str | Path) -> int:
    return main(["dashboards", "export", *map(str, arguments)])


def test_boards_rules_runbook_and_a_readme_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The committed files as they are; the README without the pictures, which are not shipped."""
    target = tmp_path / "new" / "grafana"
    assert export(target) == 0
    assert capsys.readouterr().out == (
        f"wrote {len(FILES)} files to {target}: begin with its README.md\n"
    )
    written = tree(target)
    assert set(written) == FILES
    for name, content in written.items():
        if name.startswith("boards/") or name.endswith(".yml"):
            assert content == (DASHBOARDS / "generated" / Path(name).name).read_bytes()
    assert written["rules/RUNBOOK.md"] == (DASHBOARDS / "RUNBOOK.md").read_bytes()
    ours = (DASHBOARDS / "README.md").read_text(encoding="utf-8")
    said = written["README.md"].decode()
    before, pictures, after = re.split(r"(## Pictures\n(?:(?!\n## ).)*\n)", ours, flags=re.DOTALL)
    assert said == before + after
    shown = re.findall(r"!\[.*\]\((.*)\)", pictures)
    assert sorted(shown) == [f"pictures/{path.stem}.png" for path in BOARDS]
    for picture in shown:
        assert 20_000 < (DASHBOARDS / picture).stat().st_size < 300_000


def test_a_changed_file_is_not_replaced_unless_told_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says which; nothing is written, not even what is missing; --force writes it all."""
    assert export(tmp_path) == 0
    assert export(tmp_path) == 0  # the same again: nothing is lost
    mine = tmp_path / "boards" / "agentscope-llm.json"
    mine.write_text("mine")
    (tmp_path / "README.md").unlink()
    (tmp_path / "notes.txt").write_text("not ours")
    before = tree(tmp_path)
    capsys.readouterr()
    assert export(tmp_path) == 2
    assert capsys.readouterr().err == (
        f"agentscope dashboards: error: {mine} differs from what would be written: add --force to "
        f"replace, or export to another folder than {tmp_path}\n"
    )
    assert tree(tmp_path) == before
    assert export(tmp_path, "--force") == 0
    assert set(tree(tmp_path)) == FILES | {"notes.txt"}
    assert mine.read_text().startswith("{")


@pytest.mark.parametrize(
    "address",
    ["https://wiki.example.com/agentscope/RUNBOOK.md", "http://10.0.0.1:8080/r?page=a&b=c'd#"],
)
@needs_prometheus
def test_alerts_link_to_where_the_runbook_is_published(tmp_path: Path, address: str) -> None:
    """Every one to its own section, and Prometheus takes the rules; nothing else is changed."""
    assert export(tmp_path / "plain") == 0
    assert export(tmp_path / "linked", "--runbook-url", address) == 0
    before, after = tree(tmp_path / "plain"), tree(tmp_path / "linked")
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"rules/agentscope-alerts.yml"}
    sections = [alert.anchor for alert in ALERTS for _ in ("critical", "warning")]
    rules = yaml.safe_load(after["rules/agentscope-alerts.yml"])["groups"][0]["rules"]
    urls = [rule["annotations"]["runbook_url"] for rule in rules]
    assert urls == [f"{address.rstrip('#')}#{anchor}" for anchor in sections]
    headlines = re.findall(r"^## (\w+)$", after["rules/RUNBOOK.md"].decode(), re.MULTILINE)
    assert {anchor for anchor in sections} == {headline.lower() for headline in headlines}
    told = subprocess.run(
        ["promtool", "check", "rules", *map(str, (tmp_path / "linked" / "rules").glob("*.yml"))],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr


@pytest.mark.parametrize(
    "address", ["RUNBOOK.md", "ftp://x/y", "https://x/{{ $value }}", "https://"]
)
def test_an_address_that_is_none_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    """Before anything is written, with one that would do."""
    with pytest.raises(SystemExit) as left:
        export(tmp_path / "new", "--runbook-url", address)
    assert left.value.code == 2
    assert f"{address!r} is no address such as https://" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_several_changed_files_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Still one line."""
    assert export(tmp_path) == 0
    for name in FILES:
        (tmp_path / name).write_text("mine")
    capsys.readouterr()
    assert export(tmp_path) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"and {len(FILES) - 1} more differ from what would be written" in line


@pytest.mark.parametrize(
    ("name", "says"),
    [("file", "Not a directory"), ("folder", "Is a directory")],
)
def test_a_place_that_cannot_be_written_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, says: str
) -> None:
    """A file where the folder should be, a folder where a file should be."""
    (tmp_path / "file").write_text("")
    (tmp_path / "folder" / "README.md").mkdir(parents=True)
    assert export(tmp_path / name) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("agentscope dashboards: error: cannot write ")
    assert line.endswith(f"{says}; choose another folder")


def installed(tmp_path: Path, *parts: str) -> subprocess.CompletedProcess[str]:
    """Export from the packages as a wheel lays them out, far from any clone."""
    site = tmp_path / "site-packages"
    package = site / "agentscope_analyzer"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "analyzer" / "agentscope_analyzer", package, ignore=ignored)
    for part in parts:
        (package / "dashboards").mkdir(exist_ok=True)
        copy = shutil.copytree if (DASHBOARDS / part).is_dir() else shutil.copy
        copy(DASHBOARDS / part, package / "dashboards" / part)
    program = "import sys; from agentscope_analyzer.commands import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", program, "dashboards", "export", str(tmp_path / "out")],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_it_works_from_an_installed_package(tmp_path: Path) -> None:
    """The wheel has the files beside the analyzer's modules."""
    done = installed(tmp_path, "generated", "README.md", "RUNBOOK.md")
    assert (done.returncode, done.stderr) == (0, "")
    assert set(tree(tmp_path / "out")) == FILES


def test_a_damaged_installation_says_how_to_mend_it(tmp_path: Path) -> None:
    """Without the boards there is nothing to write."""
    done = installed(tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "agentscope dashboards: error: the boards are missing from this installation: "
        "pip install --force-reinstall agentscope-observability\n"
    )
    assert not (tmp_path / "out").exists()
