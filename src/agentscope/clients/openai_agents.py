"""openai-agents: a span for each function tool that an agent executes.

Patched is the function that its runner calls tools with, in the module that calls it: the tools
themselves keep their function in an attribute of their own, and are made before any hook. Errors
that become an answer for the model pass through one more function, which is told the exception.

What the models say is recorded by the hook of the openai client, one inference a request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentscope import conventions as c
from agentscope.clients.patches import Patches
from agentscope.clients.tools import Begun, around_async, begin_tool
from agentscope.recording.context import attached_span
from agentscope.recording.guard import internal_error
from agentscope.recording.span import Role

_INVOKE = ("_invoke_function_tool_with_metadata", "invoke_function_tool")
"""What the runner calls a tool with: now, and in older versions."""
_HANDLE = "maybe_invoke_function_tool_failure_error_function"


def patch(module: Any, patches: Patches) -> None:
    """Hook ``agents.run_internal.tool_execution``."""
    name = next((name for name in _INVOKE if hasattr(module, name)), _INVOKE[0])
    patches.wrap(module, name, around_async(_start, _judge))


def patch_errors(module: Any, patches: Patches) -> None:
    """Hook ``agents.tool``; older versions do not tell of errors that they handle."""
    if hasattr(module, _HANDLE):
        patches.wrap(module, _HANDLE, _handle)


def _start(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Begun | None:
    try:
        tool = kwargs["function_tool"]
        call_id = getattr(kwargs["context"], "tool_call_id", None)
        return begin_tool(tool.name, call_id, _function_of(tool))
    except Exception as error:
        internal_error("clients.openai_agents", error)
        return None


def _function_of(tool: Any) -> Any:
    """The user's function; None where it is found neither by the library nor by us."""
    implementation = getattr(tool.on_invoke_tool, "_invoke_tool_impl", tool.on_invoke_tool)
    code = getattr(implementation, "__code__", None)
    names = code.co_freevars if code is not None else ()
    if "the_func" not in names:
        return None
    return implementation.__closure__[names.index("the_func")].cell_contents


def _judge(error: BaseException | None, output: Any) -> BaseException | str | None:
    if error is None and getattr(output, "is_sdk_generated_error", False):
        return c.UNKNOWN_ERROR
    return error


def _handle(
    wrapped: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    try:
        span, raised = attached_span(), kwargs.get("error")
        if span is not None and span.role is Role.TOOL and isinstance(raised, Exception):
            span.fail(raised)
    except Exception as error:
        internal_error("clients.openai_agents", error)
    return wrapped(*args, **kwargs)
