"""The locustfile that ships: customers of a support agent.

``locust -f .../agentscope/lab/load/locustfile.py --headless --host http://127.0.0.1:8000
--users 20 --spawn-rate 4 --run-time 1m --run-dir runs/today [--processes 2]``
"""

from __future__ import annotations

from typing import Any

from locust import events

from agentscope.lab.load.users import ConversationUser


class SupportCustomer(ConversationUser):
    """A customer who asks about opening hours, orders, plans and returns."""


def _faults_of_the_script(environment: Any, **_: Any) -> None:
    # Failed requests are what a load test is there to find. A fault in a user's own code is not,
    # and must not pass for one: see --exit-code-on-error.
    if environment.runner is not None and environment.runner.exceptions:
        environment.process_exit_code = 3


_listeners: Any = events.quitting
_listeners.add_listener(_faults_of_the_script)
