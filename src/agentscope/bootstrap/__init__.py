"""Recording a service whose code knows nothing of us: ``agentscope record -- COMMAND``.

The command runs with this folder in front of its ``PYTHONPATH``, so that every Python process below
it finds our ``sitecustomize``. That waits for FastAPI and Starlette, and calls us. Who imports neither
(the parent of workers, pip) is left as it was.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agentscope.asgi import AgentScopeMiddleware
from agentscope.clients import instrument_clients
from agentscope.clients.patches import Patches
from agentscope.recording.guard import internal_error

FOLDER = Path(__file__).parent
"""The folder of ``sitecustomize``. No other name in it may be one that a service imports."""


def environment(
    run_dir: Path, service_name: str | None, before: Mapping[str, str]
) -> dict[str, str]:
    """The environment ``before`` with what makes a Python process below record itself."""
    paths = [str(FOLDER), *filter(None, [before.get("PYTHONPATH")])]
    after = {
        **before,
        "PYTHONPATH": os.pathsep.join(paths),
        "AGENTSCOPE_RUN_DIR": str(run_dir.absolute()),
    }
    if service_name is not None:
        after["AGENTSCOPE_SERVICE_NAME"] = service_name
    return after


def record_applications(module: Any) -> None:
    """Record every application of the class in ``module`` that this process is going to serve.

    ``module`` is ``starlette.applications`` or ``fastapi.applications``, just imported. Nothing is
    recorded before an application serves: a process that only imports one leaves no file.
    """
    name = "FastAPI" if module.__name__ == "fastapi.applications" else "Starlette"
    patches = Patches()
    patches.wrap(getattr(module, name), "__init__", _with_clients)
    patches.wrap(getattr(module, name), "build_middleware_stack", _with_ours_outermost)


def _with_clients(
    make: Callable[..., None], app: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    # Not at the import of Starlette: a library that imports it is itself half imported then.
    try:
        instrument_clients("auto")
    except Exception as error:
        internal_error("bootstrap.clients", error)
    make(*args, **kwargs)


def _with_ours_outermost(
    build: Callable[..., Any], app: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Build the stack, and ours around it. One that the service has itself is outside of this."""
    stack = build(*args, **kwargs)
    try:
        # A path that the service does not have stays one that it does not have, unless asked for.
        metrics_path = "/metrics" if "AGENTSCOPE_PROMETHEUS" in os.environ else None
        return AgentScopeMiddleware(stack, metrics_path=metrics_path)
    except Exception as error:
        internal_error("bootstrap.build", error)
        return stack
