"""Who is recording: the process as OpenTelemetry's resource and in the manifest."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from agentscope import conventions as c
from agentscope.recording.span import AttributeValue


def resource_of(service_name: str, instance: str, version: str) -> dict[str, AttributeValue]:
    """The resource attributes of this process."""
    import socket  # takes milliseconds that importing us need not

    return {
        c.SERVICE_NAME: service_name,
        c.SERVICE_INSTANCE_ID: instance,
        c.PROCESS_PID: os.getpid(),
        c.HOST_NAME: socket.gethostname(),
        c.SDK_NAME: "agentscope",
        c.SDK_LANGUAGE: "python",
        c.SDK_VERSION: version,
    }


def process_of(resource: Mapping[str, AttributeValue]) -> dict[str, Any]:
    """How the run directory's manifest begins: which schema, which process."""
    return {
        "schema": c.RUN_SCHEMA,
        "instance": resource.get(c.SERVICE_INSTANCE_ID),
        "service": resource.get(c.SERVICE_NAME),
        "pid": resource.get(c.PROCESS_PID),
        "host": resource.get(c.HOST_NAME),
    }
