"""The example stack under load, start to stop: PostgreSQL, mock LLM, agent, Locust."""

from agentscope.lab.scenarios.catalogue import (
    BOTTLENECKS,
    DEFAULT_SCENARIO,
    SCENARIOS,
    Scenario,
)
from agentscope.lab.scenarios.interrupts import Interrupted, Interrupts
from agentscope.lab.scenarios.processes import Component, ComponentError
from agentscope.lab.scenarios.rig import Progress, Rig

__all__ = [
    "BOTTLENECKS",
    "DEFAULT_SCENARIO",
    "SCENARIOS",
    "Component",
    "ComponentError",
    "Interrupted",
    "Interrupts",
    "Progress",
    "Rig",
    "Scenario",
]
