"""The example agent on two workers, with what it needs and who uses it: processes of ours."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import Request, urlopen

import psutil

from agentscope.lab.postgres import database
from agentscope.lab.scenarios import Component

ROOT = Path(__file__).parents[2]
AGENTSCOPE = Path(sys.executable).with_name("agentscope")
START_TIMEOUT_S = 90.0

MODEL = "gpt-4o-mini"
JOB = "support-agent"
ROUTE = "/api/sessions/{session_id}/messages"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Service:
    """The agent with what it needs, all of it processes of ours."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.run_dir, self.shared = directory / "run", directory / "shared"
        self.run_dir.mkdir()
        self.shared.mkdir()
        self._logs = directory / "logs"
        dsn = stack.enter_context(database())
        options = [
            "--port", "0", "--ttft", "0.05/0.3", "--itl", "0.005", "--output-tokens", "20/0.3",
            "--depth", "0:0.4,1:0.6", "--rpm", "60000", "--fault", "500:0.04,429:0.04",
        ]  # fmt: skip
        model = Component(
            "mock LLM", [str(AGENTSCOPE), "mock-llm", *options], self._log("mock-llm")
        )
        self._start(stack, model)
        model_url = model.wait_ready(r"mock LLM ready on (\S+)", START_TIMEOUT_S)[1]
        variables = {
            name: value for name, value in os.environ.items() if not name.startswith("AGENTSCOPE_")
        } | {
            "AGENTSCOPE_RUN_DIR": str(self.run_dir),
            "AGENTSCOPE_SERVICE_NAME": JOB,
            "PROMETHEUS_MULTIPROC_DIR": str(self.shared),
            "OPENAI_API_KEY": "sk-mock",
            "OPENAI_BASE_URL": model_url,
            "SUPPORT_AGENT_DSN": dsn,
            "SUPPORT_AGENT_MODEL": MODEL,
            "SUPPORT_AGENT_MODEL_RETRIES": "1",
            "SUPPORT_AGENT_POOL_SIZE": "3",
            "NO_PROXY": "127.0.0.1",
        }
        command = [sys.executable, "-m", "uvicorn", "support_agent.app:app"]
        command += ["--workers", "2", "--port", "0"]
        command += ["--app-dir", str(ROOT / "examples"), "--no-access-log"]
        command += ["--timeout-graceful-shutdown", "5", "--timeout-worker-healthcheck", "60"]
        self._agent = Component("the agent", command, self._log("agent"), variables=variables)
        self._start(stack, self._agent)
        running = r"running on http://127\.0\.0\.1:(\d+)"
        self.port = int(self._agent.wait_ready(running, START_TIMEOUT_S)[1])
        self._wait_for_workers()

    def kill_one(self) -> int:
        """Kill a worker without a word; return when another one is there in its place."""
        victim = self.workers()[0]
        victim.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + START_TIMEOUT_S
        while victim.pid in {one.pid for one in self.workers()} and time.monotonic() < deadline:
            time.sleep(0.05)
        self._wait_for_workers(3)
        return victim.pid

    def workers(self) -> list[psutil.Process]:
        """The processes that answer: those that published something."""
        owners = {
            int(path.stem.rpartition("_")[2].partition("-")[0])
            for path in self.shared.glob("gauge_live*.db")
        }
        children = psutil.Process(self._agent.pid).children(recursive=True)
        return [
            child
            for child in children
            if child.pid in owners and child.status() != psutil.STATUS_ZOMBIE
        ]

    def metrics(self) -> str:
        """What ``/metrics`` answers to who asks for OpenMetrics."""
        request = Request(f"http://127.0.0.1:{self.port}/metrics", headers={"accept": OPENMETRICS})
        with urlopen(request, timeout=30) as response:
            text: str = response.read().decode()
        return text

    def stop(self) -> None:
        """End it in good order: what it has recorded is written."""
        self._agent.stop(20)

    def _wait_for_workers(self, started: int = 2) -> None:
        # The log says it at the end of each worker's start-up, when its pool is open.
        log = self._logs / "agent.log"
        deadline = time.monotonic() + START_TIMEOUT_S
        while log.read_text(encoding="utf-8").count("startup complete") < started:
            self._agent.check()
            if time.monotonic() > deadline:
                raise TimeoutError(self._agent.epitaph("has too few workers"))
            time.sleep(0.05)

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def _start(self, stack: ExitStack, component: Component) -> None:
        stack.callback(component.stop, 5)
        component.start()


@dataclass
class Users:
    """They send their next message after the answer."""

    port: int
    number: int
    answered: list[int] = field(default_factory=list)
    """The status of each answer."""
    refused: list[str] = field(default_factory=list)

    def go(self, seconds: float) -> None:
        """Send messages for so long, and return when the last answer is there."""
        until_s = time.monotonic() + seconds
        threads = [
            threading.Thread(target=self._user, args=(number, until_s))
            for number in range(self.number)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _user(self, number: int, until_s: float) -> None:
        session = ""
        draw = random.Random(number)
        while time.monotonic() < until_s:
            # A connection each: the workers share the port, so each gets its part.
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            try:
                if not session:
                    made = self._post(connection, "/api/sessions", {"user_id": f"user-{number}"})
                    session = json.loads(made)["session_id"]
                if draw.random() < 0.05:
                    self._post(connection, "/api/sessions/nobody/messages", {"message": "hello"})
                message = {"message": "Where is my order 1042?", "stream": draw.random() < 0.3}
                self._post(connection, f"/api/sessions/{session}/messages", message)
            except (OSError, http.client.HTTPException) as error:
                self.refused.append(repr(error))
            finally:
                connection.close()
            time.sleep(draw.uniform(0.0, 0.1))

    def _post(self, connection: http.client.HTTPConnection, path: str, body: object) -> bytes:
        headers = {"content-type": "application/json"}
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        told = response.read()
        self.answered.append(response.status)
        return told
