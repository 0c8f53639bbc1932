"""Settings: arguments, then variables, then defaults; mistakes are loud at start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import agentscope
from agentscope.settings import Settings, load


def test_arguments_win_over_variables_and_variables_over_defaults(tmp_path: Path) -> None:
    """Each setting has a variable; the code's own word is stronger."""
    environment = {
        "AGENTSCOPE_SERVICE_NAME": "from-env",
        "AGENTSCOPE_SAMPLE_RATIO": "0.25",
        "AGENTSCOPE_RUN_DIR": str(tmp_path),
        "AGENTSCOPE_PROMETHEUS": "off",
        "OTEL_SERVICE_NAME": "ignored",
    }
    sources = load({"service_name": "from-code", "sample_ratio": None}, environment)
    assert sources.settings == Settings(
        service_name="from-code", sample_ratio=0.25, run_dir=tmp_path, prometheus=False
    )
    assert sources.from_environment == {"sample_ratio", "run_dir", "prometheus"}


def test_opentelemetrys_own_variable_is_honoured() -> None:
    """A service that says its name to OpenTelemetry has said it to us."""
    assert load({}, {"OTEL_SERVICE_NAME": "shop"}).settings.service_name == "shop"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sample_ratio": 1.5}, "sample_ratio must be a number from 0 to 1, not 1.5"),
        ({"trust_incoming": "yes"}, "trust_incoming must be 'continue', 'link' or 'never'"),
        ({"session_idle_s": 0}, "session_idle_s must be seconds above 0"),
        ({"max_queue_bytes": 10}, "max_queue_bytes must be at least 1048576"),
        ({"service_name": ""}, "service_name must be 1 to 255 characters"),
        (
            {"rundir": "x"},
            "configure() has no setting 'rundir'; it has: genai_metrics, max_queue_bytes",
        ),
        ({"sample_ratio": "half"}, "configure(): "),
    ],
)
def test_a_wrong_value_raises_at_once_and_names_the_right_ones(
    given: dict[str, Any], message: str
) -> None:
    """ConfigError comes from configure and from nowhere later."""
    with pytest.raises(agentscope.ConfigError) as caught:
        load(given, {})
    assert message in str(caught.value)


def test_a_wrong_variable_warns_and_is_ignored_unless_strict() -> None:
    """An operator's typing error does not stop the service, if nobody asked for that."""
    environment = {"AGENTSCOPE_SAMPLE_RATIO": "lots"}
    with pytest.warns(
        agentscope.AgentscopeWarning,
        match="ignores AGENTSCOPE_SAMPLE_RATIO='lots': must be a number",
    ):
        assert load({}, environment).settings.sample_ratio == 1.0
    with pytest.raises(agentscope.ConfigError, match="AGENTSCOPE_SAMPLE_RATIO"):
        load({}, {**environment, "AGENTSCOPE_STRICT": "1"})


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("AGENTSCOPE_RUNDIR", "AGENTSCOPE_RUN_DIR"),
        ("AGENTSCOPE_SAMPLE_RATE", "AGENTSCOPE_SAMPLE_RATIO"),
        ("AGENTSCOPE_SERVICE", "AGENTSCOPE_SERVICE_NAME"),
        ("AGENTSCOPE_RESOURCE_TOKEN", "AGENTSCOPE_RESOURCES_TOKEN"),
    ],
)
def test_a_misspelt_variable_is_told_of(variable: str, meant: str) -> None:
    """It would do nothing, and nobody would know why; strict refuses to start with it."""
    said = f"agentscope has no variable {variable}, did you mean {meant}[?]"
    with pytest.warns(agentscope.AgentscopeWarning, match=said):
        assert load({}, {variable: "x"}).settings == Settings()
    with pytest.raises(agentscope.ConfigError, match=said):
        load({}, {variable: "x", "AGENTSCOPE_STRICT": "1"})


def test_variables_of_others_that_begin_like_ours_are_left_alone() -> None:
    """Kubernetes makes some for a service of that name; ours that are no settings are known."""
    theirs = {"AGENTSCOPE_SERVICE_HOST", "AGENTSCOPE_PORT_4318_TCP", "AGENTSCOPE_", "AGENTSCOPES"}
    ours = {"AGENTSCOPE_RESOURCES_TOKEN", "AGENTSCOPE_TESTING_RAISE", "AGENTSCOPE_EXAMPLE_DSN"}
    environment = dict.fromkeys(theirs | ours, "1") | {"AGENTSCOPE_STRICT": "1"}
    assert load({}, environment).settings == Settings(strict=True)
