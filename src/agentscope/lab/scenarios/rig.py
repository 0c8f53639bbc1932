"""The test rig: PostgreSQL, mock LLM, example agent and Locust, started and stopped in order."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from agentscope.lab.load.manifest import MANIFEST
from agentscope.lab.load.runner import LoadPlan, LoadResult, LoadTally
from agentscope.lab.postgres import PostgresStartError, database
from agentscope.lab.scenarios.catalogue import Scenario
from agentscope.lab.scenarios.cpu_quota import cpu_quota
from agentscope.lab.scenarios.interrupts import Interrupts
from agentscope.lab.scenarios.processes import Component, ComponentError

API_KEY = "sk-mock"
MODEL = "gpt-4o-mini"

_START_TIMEOUT_S = 60.0
_AGENT_GRACE_S = 10.0
_POLL_S = 0.2
# What would change a part's behaviour behind the scenario's back.
_FOREIGN = (
    "AGENTSCOPE_", "BOTTLENECK_", "LOCUST_", "OPENAI_", "OTEL_", "SUPPORT_AGENT_", "UVICORN_",
)  # fmt: skip


class Progress(Protocol):
    """Where the rig tells how far it is."""

    def step(self, text: str) -> None:
        """Something begins."""

    def load(self, elapsed_s: float, tally: LoadTally) -> None:
        """The load is on for so long and has done so much."""


@dataclass(frozen=True, kw_only=True)
class Rig:
    """Runs one scenario into a run directory.

    ``plan.host`` is filled in when the agent's port is known. ``model_command`` starts the mock
    LLM, to which the scenario's options are added; ``agent_dir`` is the folder of the examples.
    Logs go to ``logs/`` in the run directory.
    """

    scenario: Scenario
    plan: LoadPlan
    agent_dir: Path
    model_command: Sequence[str]
    progress: Progress
    interrupts: Interrupts
    linger: Callable[[str, str], None] | None = None
    """Called with the agent's and the model's URL after the load, while both still run."""

    def run(self) -> LoadResult:
        """Start everything, load it, stop everything.

        One Ctrl-C during the load ends the load early. Raises ComponentError, and Interrupted for
        any other signal; in every case nothing is left running.
        """
        stack = ExitStack()
        try:
            return self._run(stack)
        except PostgresStartError as error:
            raise ComponentError(str(error)) from error
        finally:
            with self.interrupts.deferred():
                self.progress.step("stopping")
                stack.close()

    def _run(self, stack: ExitStack) -> LoadResult:
        self.progress.step("starting PostgreSQL")
        dsn = stack.enter_context(database())
        self.progress.step("starting the mock LLM")
        model_url = self._start_model(stack)
        self.progress.step("starting the example agent")
        agent, agent_url = self._start_agent(stack, dsn, model_url)
        used = self.scenario.rpm(self.plan.users) * (1.0 - self.scenario.quota_left)
        use_up_quota(model_url, round(used))
        self.progress.step(f"loading {agent_url} with {self.plan.users} users")
        result = self._load(stack, replace(self.plan, host=agent_url), agent)
        if self.linger is not None and not self.interrupts.early_end:
            self.linger(agent_url, model_url)
        return result

    def _start_model(self, stack: ExitStack) -> str:
        rpm = self.scenario.rpm(self.plan.users)
        options = ["--port", "0", "--rpm", str(rpm), *self.scenario.model_options]
        model = self._component("mock LLM", "mock-llm", [*self.model_command, *options])
        self._start(stack, model, grace_s=5.0)
        return model.wait_ready(r"mock LLM ready on (\S+)", _START_TIMEOUT_S)[1]

    def _start_agent(self, stack: ExitStack, dsn: str, model_url: str) -> tuple[Component, str]:
        command = [sys.executable, "-m", "uvicorn", self.scenario.app]
        command += ["--app-dir", str(self.agent_dir), "--host", "127.0.0.1", "--port", "0"]
        # Longer than any think time: a connection the server closes just as a user sends is a
        # failure of the rig, not of the agent.
        command += ["--no-access-log", "--timeout-keep-alive", "75"]
        command += ["--timeout-graceful-shutdown", "5"]
        variables = {
            "AGENTSCOPE_RUN_DIR": str(self.plan.run_dir.absolute()),
            "AGENTSCOPE_SERVICE_NAME": self.scenario.service_name,
            "DATABASE_URL": dsn,
            "OPENAI_API_KEY": API_KEY,
            "OPENAI_BASE_URL": model_url,
            "SUPPORT_AGENT_DSN": dsn,
            "SUPPORT_AGENT_MODEL": MODEL,
            **self.scenario.agent_variables,
        }
        agent = self._component("the example agent", "agent", command, variables)
        # It flushes what it has recorded before it ends.
        self._start(stack, agent, grace_s=_AGENT_GRACE_S)
        if self.scenario.cpu_quota is not None and agent.pid is not None:
            stack.enter_context(cpu_quota(agent.pid, self.scenario.cpu_quota))
        port = agent.wait_ready(r"running on http://127\.0\.0\.1:(\d+)", _START_TIMEOUT_S)[1]
        return agent, f"http://127.0.0.1:{port}"

    def _load(self, stack: ExitStack, plan: LoadPlan, agent: Component) -> LoadResult:
        locust = self._component("Locust", "locust", plan.command())
        grace_s = plan.drain_s + 10.0
        tally = LoadTally(plan.run_dir)
        self._start(stack, locust, grace_s=1.0)
        clock, is_over = _LoadClock(plan), False
        with self.interrupts.deferred():
            while not locust.ended():
                self.interrupts.check(early_end_is_fine=True)
                agent.check()
                elapsed_s = clock.elapsed_s()
                if self.interrupts.early_end:
                    self.progress.step(f"ending early: up to {plan.drain_s:g} s for running turns")
                    locust.stop(grace_s, urgent=lambda: len(self.interrupts.received) > 1)
                elif clock.since_start_s() > plan.duration_s + grace_s + _START_TIMEOUT_S:
                    locust.stop(grace_s=0)
                    raise ComponentError(f"Locust did not end after {elapsed_s:.0f} s of load")
                elif elapsed_s > plan.duration_s and not is_over:
                    is_over = True
                    self.progress.step(
                        f"{plan.duration_s:g} s of load are over: up to {plan.drain_s:g} s for "
                        "running turns"
                    )
                self.progress.load(elapsed_s, tally.update())
                time.sleep(_POLL_S)
            self.interrupts.check(early_end_is_fine=True)
        code = locust.stop()
        if code:
            raise ComponentError(locust.epitaph(f"ended with exit code {code}"))
        return LoadResult.of(0, tally)

    def _start(self, stack: ExitStack, component: Component, grace_s: float) -> None:
        def stop() -> None:
            component.stop(grace_s, urgent=lambda: self.interrupts.urgent)

        stack.callback(stop)  # before the start: nothing can come between a child and its end
        with self.interrupts.deferred():
            component.start()
        self.interrupts.check()

    def _component(
        self,
        name: str,
        log: str,
        command: Sequence[str],
        variables: dict[str, str] | None = None,
    ) -> Component:
        own = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        # A proxy set for the outside world must not carry what stays on this machine.
        own |= {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
        own |= variables or {}
        path = self.plan.run_dir / "logs" / f"{log}.log"
        return Component(name, command, path, variables=own, cwd=self.plan.run_dir)


class _LoadClock:
    """How long the load is on: from the first user on, not from when Locust was started."""

    def __init__(self, plan: LoadPlan) -> None:
        self._manifest = plan.run_dir / MANIFEST
        self._started_s = time.monotonic()
        self._load_from_s: float | None = None

    def since_start_s(self) -> float:
        return time.monotonic() - self._started_s

    def elapsed_s(self) -> float:
        if self._load_from_s is None:
            if not self._manifest.exists():  # written as the first user comes
                return 0.0
            self._load_from_s = time.monotonic()
        return time.monotonic() - self._load_from_s


def use_up_quota(model_url: str, requests: int) -> None:
    """Take requests out of the agent's quota, as another user of the same key would.

    The knobs after the model's name make the mock LLM answer at once; the quota is that of the
    name before them. Raises ComponentError if the mock does not answer.
    """
    if requests <= 0:
        return
    address = urlsplit(model_url)
    body = {
        "model": f"{MODEL}@profile=instant;out=1",
        "messages": [{"role": "user", "content": "hello"}],
    }
    headers = {"authorization": f"Bearer {API_KEY}", "content-type": "application/json"}
    assert address.hostname is not None
    connection = HTTPConnection(address.hostname, address.port, timeout=10)
    try:
        for _ in range(requests):
            connection.request(
                "POST", f"{address.path}/chat/completions", json.dumps(body), headers
            )
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise ComponentError(f"the mock LLM answered {answer.status} before the load")
    except (OSError, HTTPException) as error:
        raise ComponentError(f"the mock LLM does not answer: {error}") from error
    finally:
        connection.close()
