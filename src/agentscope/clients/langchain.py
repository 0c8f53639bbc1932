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
from collections.abc import Callable
from typing import Any

from agentscope import conventions as c
from agentscope import phases, wrappers
from agentscope.clients.patches import Patches
from agentscope.recording.context import ContextToken, attach, current_span, detach
from agentscope.recording.guard import internal_error
from agentscope.recording.span import Role, Span, text_of

_HIDDEN = "langsmith:hidden"
"""The tag of steps that LangGraph adds to a graph for itself."""
_SIGNAL = "GraphBubbleUp"
"""LangGraph's exceptions that are no failures: an interrupt, a command for the graph above."""
_ToolPhase = type(phases.tool(name="tool"))

Begun = tuple[Span, ContextToken]


def patch_tools(module: Any, patches: Patches) -> None:
    """Hook ``langchain_core.tools.base``."""
    patches.wrap(module.BaseTool, "run", _run_tool)
    patches.wrap(module.BaseTool, "arun", _run_tool_async)


def patch_nodes(module: Any, patches: Patches) -> None:
    """Hook ``langgraph.pregel._runner``."""
    patches.wrap(module, "run_with_retry", _run_node)
    patches.wrap(module, "arun_with_retry", _run_node_async)


def _run_tool(
    wrapped: Callable[..., Any], tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    begun = _begin(_tool_phase(tool, asynchronous=False), kwargs.get("tool_call_id"))
    if begun is None:
        return wrapped(*args, **kwargs)
    try:
        output = wrapped(*args, **kwargs)
    except BaseException as error:
        _end(begun, error)
        raise
    _end(begun, None, output)
    return output


async def _run_tool_async(
    wrapped: Callable[..., Any], tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    begun = _begin(_tool_phase(tool, asynchronous=True), kwargs.get("tool_call_id"))
    if begun is None:
        return await wrapped(*args, **kwargs)
    try:
        output = await wrapped(*args, **kwargs)
    except BaseException as error:
        _end(begun, error)
        raise
    _end(begun, None, output)
    return output


def _run_node(
    wrapped: Callable[..., Any], _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    begun = _begin(_node_phase(args))
    if begun is None:
        return wrapped(*args, **kwargs)
    try:
        result = wrapped(*args, **kwargs)
    except BaseException as error:
        _end(begun, error)
        raise
    _end(begun, None)
    return result


async def _run_node_async(
    wrapped: Callable[..., Any], _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    begun = _begin(_node_phase(args))
    if begun is None:
        return await wrapped(*args, **kwargs)
    try:
        result = await wrapped(*args, **kwargs)
    except BaseException as error:
        _end(begun, error)
        raise
    _end(begun, None)
    return result


# --- what is recorded, and what is not ------------------------------------------------------------


def _tool_phase(tool: Any, *, asynchronous: bool) -> wrappers.Phase | None:
    """The tool's phase; None outside of our spans, and where the call has a span already."""
    try:
        current = current_span()
        if current is None:
            return None
        name = text_of(tool.name)
        same = current.role is Role.TOOL and current.attributes.get(c.TOOL_NAME) == name
        return None if same or _is_decorated(tool, asynchronous) else phases.tool(name=name)
    except Exception as error:
        internal_error("clients.langchain", error)
        return None


def _is_decorated(tool: Any, asynchronous: bool) -> bool:
    """Whether the user's function below the tool has a span of its own, by ``@agentscope.tool``."""
    names = ("coroutine", "_arun") if asynchronous else ("func", "_run")
    for name in names:
        function = getattr(tool, name, None)
        function = getattr(function, "__func__", function)
        if getattr(function, "__globals__", None) is not vars(wrappers):
            continue
        for cell in getattr(function, "__closure__", None) or ():
            held = cell.cell_contents
            if isinstance(getattr(held, "__self__", held), _ToolPhase):
                return True
    return False


def _node_phase(args: tuple[Any, ...]) -> wrappers.Phase | None:
    """The node's phase; None outside of our spans, for hidden nodes, and for one that runs tools.

    Tools have spans of their own, and are a phase themselves.
    """
    try:
        if current_span() is None:
            return None
        task = args[0]
        hidden = _HIDDEN in ((task.config or {}).get("tags") or ())
        return None if hidden or _runs_tools(task.proc) else phases.phase(task.name)
    except Exception as error:
        internal_error("clients.langgraph", error)
        return None


def _runs_tools(runnable: Any) -> bool:
    tool_node = getattr(sys.modules.get("langgraph.prebuilt.tool_node"), "ToolNode", None)
    if tool_node is None:
        return False
    steps = getattr(runnable, "steps", None)  # the node itself comes first, its writers follow
    return isinstance(steps[0] if steps else runnable, tool_node)


# --- spans ----------------------------------------------------------------------------------------


def _begin(part: wrappers.Phase | None, call_id: Any = None) -> Begun | None:
    span = None if part is None else part.begin()
    if span is None:
        return None
    if isinstance(call_id, str):
        span.attributes[c.TOOL_CALL_ID] = text_of(call_id)
    return span, attach(span)


def _end(begun: Begun, error: BaseException | None, output: Any = None) -> None:
    span, token = begun
    detach(token)
    try:
        if error is None:
            # A tool's error that LangChain handles goes to the model, in place of an answer.
            if type(output).__name__ == "ToolMessage" and output.status == "error":
                span.fail(c.UNKNOWN_ERROR)
        elif not _is_signal(error):
            span.attributes[c.OUTCOME] = wrappers.outcome_of(error).value
            if isinstance(error, Exception):
                span.fail(error)
        span.end()
    except Exception as fault:
        internal_error("clients.langchain", fault)


def _is_signal(error: BaseException) -> bool:
    return any(cls.__name__ == _SIGNAL for cls in type(error).__mro__)
