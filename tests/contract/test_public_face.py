"""The fence: what is public, what importing costs, what the wheel holds."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import agentscope
from agentscope import conventions

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")


def test_every_public_name_is_sorted_documented_and_in_the_readme() -> None:
    """``__all__``, docstrings and README say the same."""
    assert agentscope.__all__ == sorted(agentscope.__all__)
    readme = (ROOT / "README.md").read_text()
    for name in agentscope.__all__:
        assert getattr(agentscope, name).__doc__, name
        assert re.search(rf"\b{name}\b", readme), f"{name} is not in the README"


def test_importing_agentscope_is_light() -> None:
    """No exporter, no instrumented library, no analyzer: each comes when it is asked for."""
    program = "import sys, agentscope; print('\\n'.join(sorted(sys.modules)))"
    output = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    loaded = {name.partition(".")[0] for name in output.split()}
    heavy = {
        "agentscope_analyzer", "anthropic", "asyncpg", "duckdb", "fastapi", "httpx", "httpx2",
        "locust", "numpy", "openai", "prometheus_client", "psutil", "pyarrow", "rich",
        "starlette", "uvicorn",
    }  # fmt: skip
    assert loaded & heavy == set()


def test_conventions_import_nothing_of_ours() -> None:
    """The vocabulary can be read without the recorder."""
    source = (ROOT / "src/agentscope/conventions.py").read_text()
    assert not re.search(r"^\s*(from|import) agentscope", source, re.MULTILINE)


def test_every_metric_has_words_a_unit_and_its_own_prometheus_name() -> None:
    """Dashboards and tables are derived from these records."""
    names = [metric.prometheus_name for metric in conventions.METRICS.values()]
    assert len(set(names)) == len(names)
    for metric in conventions.METRICS.values():
        assert metric.doc
        assert metric.unit
        assert bool(metric.buckets) == (metric.instrument == "histogram")
        assert "conversation" not in str(metric.attributes), "a session id is never a label"
    assert list(conventions.CAUSES)[-1] == conventions.UNATTRIBUTED


@pytest.fixture(scope="module")
def bare_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty environment with the wheel and its locked run-time dependencies, no extras."""
    folder = tmp_path_factory.mktemp("wheel")

    def uv(*arguments: str) -> str:
        done = subprocess.run(
            [UV, *arguments], cwd=ROOT, check=True, capture_output=True, text=True
        )
        return done.stdout

    uv("build", "--quiet", "--wheel", "--out-dir", str(folder))
    (wheel,) = folder.glob("*.whl")
    requirements = folder / "requirements.txt"
    requirements.write_text(uv("export", "--frozen", "--no-dev", "--no-emit-project"))
    environment = folder / "environment"
    uv("venv", "--quiet", "--python", sys.executable, str(environment))
    python = str(environment / "bin/python")
    uv("pip", "install", "--quiet", "--python", python, "-r", str(requirements))
    uv("pip", "install", "--quiet", "--python", python, "--no-deps", str(wheel))
    return environment


def test_the_bare_wheel_imports_and_records(bare_environment: Path, tmp_path: Path) -> None:
    """A service needs nothing but the base install."""
    program = textwrap.dedent("""
        import agentscope, sys
        agentscope.configure(service_name="svc", run_dir=sys.argv[1])
        with agentscope.turn("t", session="s1"):
            pass
        assert agentscope.shutdown()
    """)
    run = tmp_path / "run"
    subprocess.run(
        [bare_environment / "bin/python", "-W", "error", "-c", program, run],
        check=True,
        cwd=tmp_path,
    )
    assert len(list(run.glob("traces-*.jsonl"))) == 1


def test_the_bare_wheel_says_what_to_install(bare_environment: Path, tmp_path: Path) -> None:
    """The command exists without the extra and answers in one line."""
    done = subprocess.run(
        [bare_environment / "bin/agentscope", "analyze", tmp_path],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "agentscope analyze: error: the analyzer extra is needed: "
        "pip install 'agentscope-observability[analyzer]'\n"
    )


def test_the_bare_wheel_lists_its_commands(bare_environment: Path, tmp_path: Path) -> None:
    """--help works without any extra."""
    done = subprocess.run(
        [bare_environment / "bin/agentscope", "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    for verb in ("analyze", "demo", "mock-llm"):
        assert verb in done.stdout
