"""The scenarios: what each one makes of the mock LLM, the agent's settings and the load.

A scenario changes how the parts behave and nothing else. Its name goes into no file of the run
directory: what binds has to be found from the measurements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One way for the example stack to behave under load."""

    name: str
    summary: str
    """Half a sentence, as ``agentscope demo --help`` prints it."""
    model_options: tuple[str, ...]
    """Arguments of ``agentscope mock-llm``."""
    rpm_per_user: float
    """The provider's quota, in requests a minute for each simulated user."""
    quota_left: float = 1.0
    """Share of a minute's quota that others with the same key have left when the load begins."""
    app: str = "support_agent.app:app"
    """The service, as uvicorn is told, below the folder of the examples."""
    agent_variables: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Environment of the service."""
    cpu_quota: float | None = None
    """Cores that the service may use; needs the right to make a control group."""
    think_s: tuple[float, float] = (1.0, 4.0)
    stream_share: float = 0.3

    @property
    def service_name(self) -> str:
        """What the service is called in the run: its package, never what is planted in it."""
        return self.app.partition(".")[0].replace("_", "-")

    def rpm(self, users: int) -> int:
        """The quota for so many users: it follows them, so every size shows the same thing."""
        return max(1, round(self.rpm_per_user * users))

    def healthy(self) -> Scenario:
        """The same service and load without the bottleneck."""
        variables = MappingProxyType({**self.agent_variables, "BOTTLENECK_HEALTHY": "1"})
        return replace(self, agent_variables=variables, cpu_quota=None)


# Turns of one to two seconds: a quick model, short answers.
_QUICK = ("--profile", "small-fast", "--output-tokens", "60/0.4")
# A quota nobody gets near to, but one: without its headers no ceiling could be predicted.
_AMPLE_RPM = 200.0

SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        scenario.name: scenario
        for scenario in (
            Scenario(
                name="healthy",
                summary="nothing binds; the quota is far away",
                model_options=_QUICK,
                rpm_per_user=_AMPLE_RPM,
            ),
            Scenario(
                name="rate-limit",
                summary="the provider's quota is too small and the client retries silently",
                # Whole seconds, as many gateways give them, and a client told to be patient: the
                # turns succeed, slowly, and nothing that the service logs says why.
                model_options=(*_QUICK, "--no-retry-after-ms"),
                agent_variables=MappingProxyType({"SUPPORT_AGENT_MODEL_RETRIES": "12"}),
                rpm_per_user=14.0,
                # A full bucket holds a minute's quota: it would carry most of a short run.
                quota_left=0.05,
            ),
            Scenario(
                name="slow-llm",
                summary="a large model writes long answers",
                model_options=("--profile", "large", "--output-tokens", "320/0.2"),
                rpm_per_user=_AMPLE_RPM,
            ),
            Scenario(
                name="db-pool",
                summary="two database connections, each held for the whole turn",
                model_options=_QUICK,
                rpm_per_user=_AMPLE_RPM,
                agent_variables=MappingProxyType(
                    {"SUPPORT_AGENT_POOL_SIZE": "2", "SUPPORT_AGENT_HOLD_CONNECTION": "1"}
                ),
            ),
            Scenario(
                name="event-loop",
                summary="a synchronous computation runs on the event loop",
                # Customers whose questions send the agent to its help articles; a model so quick
                # that it would be no burden.
                model_options=(
                    *("--ttft", "0.3/0.2", "--output-tokens", "30/0.3"),
                    *("--depth", "0:0.2,1:0.8", "--knobs", "tools=search_help_articles:6"),
                ),
                rpm_per_user=_AMPLE_RPM,
                agent_variables=MappingProxyType({"SUPPORT_AGENT_SYNC_SCORING": "1"}),
            ),
        )
    }
)
"""Every scenario, by name."""

DEFAULT_SCENARIO = "rate-limit"


def _bottleneck(name: str, summary: str, module: str, cpu_quota: float | None = None) -> Scenario:
    return Scenario(
        name=name,
        summary=summary,
        # So quick a model that what is planted is what binds.
        model_options=("--ttft", "0.25/0.2", "--output-tokens", "12/0.3", "--depth", "0:1"),
        rpm_per_user=_AMPLE_RPM,
        app=f"bottlenecks.{module}:app",
        cpu_quota=cpu_quota,
        think_s=(0.5, 2.0),
        stream_share=0.0,
    )


BOTTLENECKS: Mapping[str, Scenario] = MappingProxyType(
    {
        scenario.name: scenario
        for scenario in (
            _bottleneck("lock", "one asyncio.Lock around the model", "lock"),
            _bottleneck("threadpool", "synchronous endpoints on four threads", "threadpool"),
            _bottleneck("sync-client", "a synchronous client in async def", "sync_client"),
            _bottleneck("slow-query", "a query without its index", "slow_query"),
            _bottleneck("held-connection", "connections held during calls", "held_connection"),
            _bottleneck("collector", "gc.collect() after every turn", "collector"),
            _bottleneck("interpreter", "pure Python on worker threads", "interpreter"),
            _bottleneck("upstream", "a service behind ours, two at a time", "upstream"),
            _bottleneck("connections", "two connections to the model", "connections"),
            _bottleneck("slow-tool", "a tool that starts a slow program", "slow_tool"),
            _bottleneck("cpu-quota", "a tenth of a core", "cpu_quota", cpu_quota=0.1),
        )
    }
)
"""Small services with one bottleneck each, by name; ``healthy()`` is its twin without."""
