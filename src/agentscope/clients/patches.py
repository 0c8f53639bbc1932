"""What a hook has replaced in a library, and how it is put back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Hook = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]
"""``hook(wrapped, instance, args, kwargs)``: called instead of the wrapped method."""


class Patches:
    """The methods of one library that are wrapped now.

    A bound method that somebody fetched while it was wrapped, or a wrapper of somebody else's
    around ours, outlives ``undo``; a shared switch makes ours a plain pass-through there.
    """

    __slots__ = ("_on", "_replaced", "modules")

    def __init__(self) -> None:
        self._on: Any = [True]  # its truth is asked at every call; a list answers fastest
        self._replaced: list[tuple[Any, str, Any, Any]] = []
        self.modules: set[str] = set()
        """Modules of the library that are hooked already."""

    def wrap(self, owner: Any, name: str, hook: Hook) -> None:
        """Wrap the method ``name`` of the class ``owner``; raises AttributeError without one."""
        import wrapt

        original = vars(owner).get(name)
        if original is None:
            raise AttributeError(f"{owner.__qualname__} has no method {name}")
        ours = wrapt.FunctionWrapper(original, hook, self._on)
        setattr(owner, name, ours)
        self._replaced.append((owner, name, original, ours))

    def undo(self) -> None:
        """Put back what was there: the same objects."""
        self._on.clear()
        for owner, name, original, ours in reversed(self._replaced):
            if vars(owner).get(name) is ours:
                setattr(owner, name, original)
        self._replaced.clear()
        self.modules.clear()
