"""The stack and the autoscaling manifests against what they name: exported files, a real Prometheus."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from history import AFTER_S, CALM_S, INSTANCES, JOB, TROUBLE_S, value
from prometheus_server import Prometheus, needs_prometheus

from agentscope import conventions as c
from agentscope_analyzer.commands import main
from links import OVERVIEW

EXAMPLES = Path(__file__).parents[2] / "examples"
STACK, AUTOSCALING = EXAMPLES / "stack", EXAMPLES / "autoscaling"
SESSIONS = c.SESSIONS_ACTIVE.prometheus_name


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the first command of the stack's README writes."""
    directory = tmp_path_factory.mktemp("exported")
    assert main(["dashboards", "export", str(directory)]) == 0
    return directory


def mounts(service: str) -> dict[str, str]:
    """Where the parts of this folder are in a container: its path there, and here."""
    volumes = read(STACK / "compose.yaml")["services"][service]["volumes"]
    pairs = [volume.split(":")[:2] for volume in volumes]
    return {there: here for here, there in pairs if here.startswith("./")}


@needs_prometheus
def test_prometheus_finds_the_exported_rules(exported: Path, tmp_path: Path) -> None:
    """The whole configuration as the container reads it, rule files and all."""
    here = mounts("prometheus")
    assert here["/etc/prometheus/agentscope"] == "./exported/rules"
    text = (STACK / here["/etc/prometheus/prometheus.yml"]).read_text(encoding="utf-8")
    (tmp_path / "prometheus.yml").write_text(
        text.replace("/etc/prometheus/agentscope", str(exported / "rules"))
    )
    done = subprocess.run(
        ["promtool", "check", "config", str(tmp_path / "prometheus.yml")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    named = {Path(path).name for path in yaml.safe_load(text)["rule_files"]}
    assert named == {path.name for path in (exported / "rules").glob("*.yml")}


def test_grafana_finds_the_exported_boards_and_their_data(exported: Path) -> None:
    """Boards where they are mounted, the one it opens on among them; a data source of their type."""
    grafana = read(STACK / "compose.yaml")["services"]["grafana"]
    provisioning = STACK / "grafana" / "provisioning"
    (provider,) = read(provisioning / "dashboards" / "agentscope.yaml")["providers"]
    (source,) = read(provisioning / "datasources" / "prometheus.yaml")["datasources"]
    boards = Path(provider["options"]["path"])
    here = mounts("grafana")
    assert here[str(boards)] == "./exported/boards"
    assert here["/etc/grafana/provisioning"] == "./grafana/provisioning"
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert home == boards / f"{OVERVIEW.uid}.json"
    assert (exported / "boards" / home.name).is_file()
    for path in (exported / "boards").glob("*.json"):
        variable = json.loads(path.read_text(encoding="utf-8"))["templating"]["list"][0]
        assert (variable["type"], variable["query"]) == ("datasource", source["type"])
    scrapes = read(STACK / "prometheus" / "prometheus.yml")["global"]
    assert source["jsonData"]["timeInterval"] == scrapes["scrape_interval"]
    port = read(STACK / "compose.yaml")["services"]["prometheus"]["ports"][0].rpartition(":")[2]
    assert source["url"] == f"http://prometheus:{port}"


def test_containers_reach_a_service_that_is_started_as_the_readme_says() -> None:
    """On Linux they come from another address than the host's own 127.0.0.1."""
    compose = read(STACK / "compose.yaml")["services"]
    for config in read(STACK / "prometheus" / "prometheus.yml")["scrape_configs"]:
        (target,) = config["static_configs"][0]["targets"]
        host, port = target.split(":")
        assert f"{host}:host-gateway" in compose["prometheus"]["extra_hosts"]
        readme = (STACK / "README.md").read_text(encoding="utf-8")
        assert f"--host 0.0.0.0 --port {port}" in readme or f"0.0.0.0:{port}" in readme


@needs_prometheus
def test_keda_scales_on_the_sessions_of_the_service(past: Prometheus) -> None:
    """Its query has one value, as KEDA wants; where there is none it says so, and not 0."""
    (trigger,) = read(AUTOSCALING / "keda.yaml")["spec"]["triggers"]
    query = trigger["metadata"]["query"]
    for at_s in (CALM_S, TROUBLE_S, AFTER_S):
        assert past.at(query, at_s) == {(): value(c.SESSIONS_ACTIVE, at_s)}
    assert past.at(query.replace(JOB, "nobody"), CALM_S) == {}
    assert trigger["metadata"]["ignoreNullValues"] == "false"


@needs_prometheus
def test_the_adapter_serves_what_the_autoscaler_asks_for(past: Prometheus) -> None:
    """A pod's own sessions, by the name that the manifest has."""
    (rule,) = read(AUTOSCALING / "prometheus-adapter.yaml")["rules"]["custom"]
    (metric,) = read(AUTOSCALING / "hpa.yaml")["spec"]["metrics"]
    assert rule["seriesQuery"].partition("{")[0] == metric["pods"]["metric"]["name"] == SESSIONS
    assert set(rule["resources"]["overrides"]) == {"namespace", "pod"}
    # In this history an instance is what a pod is in a cluster.
    query = (
        rule["metricsQuery"]
        .replace("<<.Series>>", SESSIONS)
        .replace("<<.LabelMatchers>>", f'job="{JOB}"')
        .replace("<<.GroupBy>>", "instance")
    )
    shown = past.at(query, TROUBLE_S)
    assert shown == {
        (("instance", instance),): value(c.SESSIONS_ACTIVE, TROUBLE_S, instance=instance)
        for instance in INSTANCES
    }


def test_both_autoscalers_scale_alike() -> None:
    """The same sessions a pod, the same limits, the same patience."""
    keda, hpa = (read(AUTOSCALING / name)["spec"] for name in ("keda.yaml", "hpa.yaml"))
    (trigger,), (metric,) = keda["triggers"], hpa["metrics"]
    assert trigger["metadata"]["threshold"] == metric["pods"]["target"]["averageValue"]
    assert (keda["minReplicaCount"], keda["maxReplicaCount"]) == (
        hpa["minReplicas"], hpa["maxReplicas"],
    )  # fmt: skip
    assert keda["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == hpa["behavior"]
    assert "cooldownPeriod" not in keda  # it is for scaling to none at all, which min forbids
