"""The stack to try: each of its files as far as it can be checked without the containers."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentscope import conventions as c

EXAMPLES = Path(__file__).parents[2] / "examples"
STACK = EXAMPLES / "stack"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_compose_file_is_one() -> None:
    """By the Compose specification's own schema."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    command.append(str(STACK / "compose.yaml"))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_open_to_the_network_and_images_are_pinned() -> None:
    """Grafana asks for no login here, so its port is for this machine only."""
    for name, service in read(STACK / "compose.yaml")["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", service["image"]), name


def test_every_file_that_is_mounted_is_there_or_made_by_the_readme() -> None:
    """A path that does not exist would become an empty folder of root's."""
    readme = (STACK / "README.md").read_text(encoding="utf-8")
    for service in read(STACK / "compose.yaml")["services"].values():
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            if source.startswith("./"):
                made = f"examples/stack/{source.split('/')[1]}" in readme
                assert (STACK / source).exists() or made, source


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="needs promtool: apt-get install prometheus"
)
def test_prometheus_takes_its_file() -> None:
    """And scrapes the port that the README starts the service on."""
    path = STACK / "prometheus" / "prometheus.yml"
    done = subprocess.run(
        ["promtool", "check", "config", "--syntax-only", str(path)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (target,) = read(path)["scrape_configs"][0]["static_configs"][0]["targets"]
    assert f"--port {target.rpartition(':')[2]}" in (STACK / "README.md").read_text()


def test_the_collector_has_what_its_pipelines_name() -> None:
    """A pipeline with a part that is not there stops the Collector at its start."""
    config = read(STACK / "collector" / "config.yaml")
    for pipeline in config["service"]["pipelines"].values():
        for kind, names in pipeline.items():
            assert set(names) <= set(config[kind])
    paths = {exporter["path"] for exporter in config["exporters"].values()}
    assert {Path(path).name.partition("-")[0] for path in paths} == {"traces", "metrics"}


def test_the_autoscalers_ask_for_a_metric_that_is_there() -> None:
    """Active sessions, by the name that /metrics has."""
    keda = read(EXAMPLES / "autoscaling" / "keda.yaml")
    hpa = read(EXAMPLES / "autoscaling" / "hpa.yaml")
    name = c.SESSIONS_ACTIVE.prometheus_name
    assert name in keda["spec"]["triggers"][0]["metadata"]["query"]
    assert hpa["spec"]["metrics"][0]["pods"]["metric"]["name"] == name
