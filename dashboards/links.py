"""The boards by name, and the way from a panel to the board that has more of it."""

from __future__ import annotations

from typing import Final, NamedTuple

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as model


class Board(NamedTuple):
    """A board's uid, which names its file and its address too, and its title."""

    uid: str
    title: str

    def link(self) -> dashboard.DashboardLink:
        """A link in a panel's corner, to the same time and the same choices."""
        return (
            dashboard.DashboardLink(self.title)
            .type(model.DashboardLinkType.LINK)
            .url(f"/d/{self.uid}?${{__url_time_range}}&${{__all_variables}}")
        )


OVERVIEW: Final = Board("agentscope-overview", "Agent overview")
LLM: Final = Board("agentscope-llm", "LLM and rate limits")
RUNTIME: Final = Board("agentscope-runtime", "Runtime and resources")
LOAD_RUN: Final = Board("agentscope-load-run", "Load run")
