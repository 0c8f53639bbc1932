"""What the drivers of PostgreSQL have in common."""

from __future__ import annotations

SYSTEM = "postgresql"
PORT = 5432


def pool_name(database: str | None, host: str | None, port: int | str | None) -> str:
    """What a pool is called whose user gave it no name: where its connections lead."""
    if not host or host.startswith(("/", "@")):  # a unix socket
        host, port = "localhost", PORT
    name = f"{database or SYSTEM}@{host}"
    return name if not port or int(port) == PORT else f"{name}:{port}"
