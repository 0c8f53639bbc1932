"""The names on /metrics, as Prometheus's own linter judges them."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from agentscope import conventions as c


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="needs promtool: apt-get install prometheus"
)
def test_promtool_complains_of_names_that_are_not_ours_to_choose() -> None:
    """OpenTelemetry ends four gauges in ``count``; every other exporter of it has them as well."""
    page = "".join(_lines(metric) for metric in (*c.METRICS.values(), *c.LOAD_METRICS.values()))
    linted = subprocess.run(
        ["promtool", "check", "metrics"], input=page, capture_output=True, text=True, check=False
    )
    complaint = 'non-histogram and non-summary metrics should not have "_count" suffix'
    assert sorted((linted.stdout + linted.stderr).splitlines()) == [
        f"{name} {complaint}"
        for name in (
            "db_client_connection_count",
            "process_thread_count",
            "process_unix_file_descriptor_count",
            "system_cpu_logical_count",
        )
    ]


def _lines(metric: c.Metric) -> str:
    name, kind = metric.prometheus_name, metric.instrument
    head = f"# HELP {name} {metric.doc}\n# TYPE {name} {kind}\n"
    if kind == "histogram":
        return f'{head}{name}_bucket{{le="+Inf"}} 0\n{name}_sum 0\n{name}_count 0\n'
    return f"{head}{name} 0\n"
