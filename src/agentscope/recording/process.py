"""Who is recording: the process as OpenTelemetry's resource and in the manifest."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from agentscope import conventions as c
from agentscope.recording.span import AttributeValue

# In cgroup v1 and v2 without a namespace of its own, and where a container's files are mounted;
# a layer of its file system has an id of the same shape, and is another thing.
_IN_CGROUP = re.compile(r"[/:-]([0-9a-f]{64})(?:\.scope)?$", re.MULTILINE)
_IN_MOUNTS = re.compile(r"/containers/([0-9a-f]{64})/")
_MAX_ATTRIBUTES = 64


def resource_of(service_name: str, instance: str, version: str) -> dict[str, AttributeValue]:
    """The resource attributes of this process: what we know, over ``OTEL_RESOURCE_ATTRIBUTES``."""
    import socket  # takes milliseconds that importing us need not

    found: dict[str, AttributeValue] = {**told_attributes(os.environ)}
    container = _IN_CGROUP.search(_read("/proc/self/cgroup"))
    container = container or _IN_MOUNTS.search(_read("/proc/self/mountinfo"))
    if container is not None:
        found.setdefault(c.CONTAINER_ID, container[1])
    return found | {
        c.SERVICE_NAME: service_name,
        c.SERVICE_INSTANCE_ID: instance,
        c.PROCESS_PID: os.getpid(),
        c.HOST_NAME: socket.gethostname(),
        c.SDK_NAME: "agentscope",
        c.SDK_LANGUAGE: "python",
        c.SDK_VERSION: version,
    }


def told_attributes(environment: Mapping[str, str]) -> dict[str, str]:
    """What ``OTEL_RESOURCE_ATTRIBUTES`` says: ``key=value,key=value``, percent-encoded.

    Pairs without a key are passed over, as specified.
    """
    text = environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    pairs = (part.partition("=") for part in text.split(","))
    told = {key.strip(): unquote(value.strip()) for key, equals, value in pairs if equals}
    told.pop("", None)
    return dict(list(told.items())[:_MAX_ATTRIBUTES])


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError):
        return ""


def process_of(resource: Mapping[str, AttributeValue]) -> dict[str, Any]:
    """How the run directory's manifest begins: which schema, which process."""
    return {
        "schema": c.RUN_SCHEMA,
        "instance": resource.get(c.SERVICE_INSTANCE_ID),
        "service": resource.get(c.SERVICE_NAME),
        "pid": resource.get(c.PROCESS_PID),
        "host": resource.get(c.HOST_NAME),
    }
