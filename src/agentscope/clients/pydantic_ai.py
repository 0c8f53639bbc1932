"""pydantic-ai: a span for each tool that an agent executes.

Patched is ``CombinedToolset.call_tool``: an agent has exactly one of these around all its toolsets
(functions, MCP servers, other frameworks' tools), and calls each tool once through it, when the
arguments are valid. Tools for structured output execute nothing and have no span.

What the models say is recorded by the hook of the provider's client, one inference a request.
"""

from __future__ import annotations

from typing import Any

from agentscope.clients.patches import Patches
from agentscope.clients.tools import Begun, around_async, begin_tool
from agentscope.recording.guard import internal_error

_PARAMETERS = ("name", "tool_args", "ctx", "tool")
_SIGNALS = frozenset({"ApprovalRequired", "CallDeferred", "SkipToolExecution"})
"""pydantic-ai's exceptions that are no failures: the tool is executed later, or by somebody else."""


def patch(module: Any, patches: Patches) -> None:
    """Hook ``pydantic_ai.toolsets.combined``."""
    patches.wrap(module.CombinedToolset, "call_tool", around_async(_start, _judge))


def _start(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Begun | None:
    try:
        given = {**dict(zip(_PARAMETERS, args, strict=False)), **kwargs}
        tool = given["tool"]
        if tool.tool_def.kind == "output":
            return None
        while hasattr(tool, "source_tool"):  # in a toolset of toolsets
            tool = tool.source_tool
        schema = getattr(getattr(tool, "call_func", None), "__self__", None)
        function = getattr(schema, "function", None)
        return begin_tool(given["name"], given["ctx"].tool_call_id, function)
    except Exception as error:
        internal_error("clients.pydantic_ai", error)
        return None


def _judge(error: BaseException | None, output: Any) -> BaseException | str | None:
    return None if type(error).__name__ in _SIGNALS else error
