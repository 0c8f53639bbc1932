"""The template of the route that served a request: never its path, which clients choose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Scope = Mapping[str, Any]

UNKNOWN_MOUNT = "/{mount}"
"""Stands for a mount whose template cannot be found: its path may hold what a client chose."""

_REST = "/{path}"
"""What a mount matches below itself, as Starlette's and FastAPI's own telemetry spell it."""

_MAX_DEPTH = 20


class RouteTemplates:
    """Names the routes of one application from what routing leaves in the scope.

    Nothing is matched a second time, unless a mount's own path has parameters: of those the scope
    keeps the values only.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._mounts: frozenset[str] | None = None
        self._endpoints: dict[int, tuple[Any, str | None]] = {}
        self._routes = -1
        """Routes that the application had when its endpoints were looked up."""

    def serve(self, app: Any) -> None:
        """Say which application has the routes, where the scope tells; a stack may hide them."""
        if app is not None:
            self._app = app

    def of(self, scope: Scope) -> str | None:
        """The template of the route that served the request; None where none did."""
        route = scope.get("route")
        endpoint = scope.get("endpoint")
        if route is None and endpoint is None:
            return None
        path = self._of_endpoint(endpoint) if route is None else _path_of(route, scope)
        root: str = scope.get("root_path", "")
        above: str = scope.get("app_root_path", root)  # set by the first mount on the way
        if len(root) == len(above):
            return None if path is None else root + path
        if path is None or hasattr(route, "routes"):  # the mount itself is the last that matched
            path = _REST
        return f"{above}{self._of_mount(root[len(above) :])}{path}"

    def _of_mount(self, path: str) -> str:
        if self._mounts is None:
            self._mounts = frozenset(_fixed_mounts(_routes_of(self._app)))
        if path in self._mounts:
            return path
        return _match(_routes_of(self._app), path) or UNKNOWN_MOUNT

    def _of_endpoint(self, endpoint: Any) -> str | None:
        # FastAPI leaves no route in the scope where the route is a plain one of Starlette's.
        known = self._endpoints.get(id(endpoint))
        if known is None:
            routes = _routes_of(self._app)
            if len(routes) == self._routes:
                return None
            self._routes = len(routes)
            self._endpoints = _by_endpoint(routes)
            known = self._endpoints.get(id(endpoint))
        return None if known is None else known[1]


def _path_of(route: Any, scope: Scope) -> str | None:
    """The template of a route within its own application; None where it has none, as a host."""
    native = scope.get("fastapi")
    if native:
        # A router that was included leaves its own part on the route, and the whole of it here.
        included = native.get("effective_route_context")
        if included is not None and getattr(included, "original_route", None) is route:
            path = getattr(included, "path_format", None)
            if isinstance(path, str):
                return path
    path = getattr(route, "path_format", None)
    if path is None:
        path = getattr(route, "path", None)
    return path if isinstance(path, str) else None


def _routes_of(app: Any) -> list[Any]:
    """The routes of an application, which may stand behind middlewares."""
    for _ in range(_MAX_DEPTH):
        routes = getattr(app, "routes", None)
        if isinstance(routes, list):
            return routes
        app = getattr(app, "app", None)
        if app is None:
            break
    return []


def _mounts_in(routes: Iterable[Any]) -> Iterator[tuple[Any, str]]:
    """The mounts among ``routes``, each with its template."""
    for route in routes:
        template = getattr(route, "path_format", None)
        if isinstance(template, str) and hasattr(route, "routes") and hasattr(route, "path_regex"):
            yield route, template.removesuffix(_REST)


def _fixed_mounts(routes: Iterable[Any], above: str = "", depth: int = 0) -> Iterator[str]:
    """Paths of the mounts without parameters, those within others as well."""
    for mount, template in _mounts_in(routes):
        if "{" not in template:
            yield above + template
            if depth < _MAX_DEPTH:
                yield from _fixed_mounts(_routes_of(mount), above + template, depth + 1)


def _match(routes: Iterable[Any], path: str, depth: int = 0) -> str | None:
    """The template of the mounts that ``path`` went through, from the outermost on."""
    for mount, template in _mounts_in(routes):
        found = mount.path_regex.match(f"{path}/")
        if found is None:
            continue
        rest = found.groupdict().get("path", "").rstrip("/")
        if not rest:
            return template
        if depth < _MAX_DEPTH:
            below = _match(_routes_of(mount), f"/{rest}", depth + 1)
            if below is not None:
                return template + below
    return None


def _by_endpoint(routes: Iterable[Any], depth: int = 0) -> dict[int, tuple[Any, str | None]]:
    """Each endpoint, held so that its identity stays its own, and the one template it has."""
    found: dict[int, tuple[Any, str | None]] = {}
    for route in routes:
        endpoint = getattr(route, "endpoint", None)
        template = getattr(route, "path_format", None)
        if endpoint is not None and isinstance(template, str):
            other = found.get(id(endpoint))
            unique = other is None or other[1] == template
            found[id(endpoint)] = (endpoint, template if unique else None)
    if depth < _MAX_DEPTH:
        for mount, _ in _mounts_in(routes):
            for key, value in _by_endpoint(_routes_of(mount), depth + 1).items():
                found[key] = value if key not in found else (value[0], None)
    return found
