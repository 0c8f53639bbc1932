"""From spans to causes: every instant of every turn is given to exactly one."""

from agentscope_analyzer.attribution.stage import (
    UNMARKED,
    AttributionSummary,
    attribute,
    prepare_sweep,
)

__all__ = ["UNMARKED", "AttributionSummary", "attribute", "prepare_sweep"]
