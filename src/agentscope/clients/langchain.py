"""langchain and langgraph: a span for each tool that runs, and a phase for each node of a graph.

Tools are hooked in ``BaseTool.run`` and ``arun``: ``invoke``, ``ainvoke``, a graph's tool node and
the agents of old all end in exactly one of the two. Nodes are hooked where LangGraph runs them,
once a node and step, its retries included; their callbacks would tell of them too, but in copies
of the context, in which nothing that follows would lie below a span. Threads need no care: both
libraries hand the context on to them.

What the models say is not recorded here. ChatOpenAI and its like call their provider's client,
whose own hook makes the inference: one span a call, with its attempts.
"""

from __future__ import annotations

import sys
from typing import Any

from agentscope import conventions as c
from agentscope import phases
from agentscope.clients.patches import Patches
from agentscope.clients.tools import Begun, around, around_async, begin, begin_tool
from agentscope.recording.context import current_span
from agentscope.recording.guard import internal_error

_HIDDEN = "langsmith:hidden"
"""The tag of steps that LangGraph adds to a graph for itself."""
_SIGNAL = "GraphBubbleUp"
"""LangGraph's exceptions that are no failures: an interrupt, a command for the graph above."""


def patch_tools(module: Any, patches: Patches) -> None:
    """Hook ``langchain_core.tools.base``."""
    patches.wrap(module.BaseTool, "run", around(_start_tool, _judge))
    patches.wrap(module.BaseTool, "arun", around_async(_start_async_tool, _judge))


def patch_nodes(module: Any, patches: Patches) -> None:
    """Hook ``langgraph.pregel._runner``."""
    patches.wrap(module, "run_with_retry", around(_start_node, _judge))
    patches.wrap(module, "arun_with_retry", around_async(_start_node, _judge))


def _start_tool(tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Begun | None:
    return _start_tool_of(tool, kwargs, "func", "_run")


def _start_async_tool(tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Begun | None:
    return _start_tool_of(tool, kwargs, "coroutine", "_arun")


def _start_tool_of(tool: Any, kwargs: dict[str, Any], *names: str) -> Begun | None:
    """``names`` are the tool's attributes that may be the user's function."""
    try:
        functions = [getattr(tool, name, None) for name in names]
        return begin_tool(tool.name, kwargs.get("tool_call_id"), *functions)
    except Exception as error:
        internal_error("clients.langchain", error)
        return None


def _start_node(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Begun | None:
    """The node's phase; None outside of our spans, for hidden nodes, and for one that runs tools.

    Tools have spans of their own, and are a phase themselves.
    """
    try:
        if current_span() is None:
            return None
        task = args[0]
        hidden = _HIDDEN in ((task.config or {}).get("tags") or ())
        return None if hidden or _runs_tools(task.proc) else begin(phases.phase(task.name))
    except Exception as error:
        internal_error("clients.langgraph", error)
        return None


def _runs_tools(runnable: Any) -> bool:
    tool_node = getattr(sys.modules.get("langgraph.prebuilt.tool_node"), "ToolNode", None)
    if tool_node is None:
        return False
    steps = getattr(runnable, "steps", None)  # the node itself comes first, its writers follow
    return isinstance(steps[0] if steps else runnable, tool_node)


def _judge(error: BaseException | None, output: Any) -> BaseException | str | None:
    if error is not None:
        is_signal = any(cls.__name__ == _SIGNAL for cls in type(error).__mro__)
        return None if is_signal else error
    # A tool's error that LangChain handles goes to the model, in place of an answer.
    handled = type(output).__name__ == "ToolMessage" and output.status == "error"
    return c.UNKNOWN_ERROR if handled else None
