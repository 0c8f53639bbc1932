"""Telemetry files in, canonical tables out; bad input ends here, counted by reason."""

from agentscope_analyzer.ingest.rows import insert_load, insert_metrics, insert_spans
from agentscope_analyzer.ingest.run import Run, open_run
from agentscope_analyzer.ingest.sources import IngestError

__all__ = ["IngestError", "Run", "insert_load", "insert_metrics", "insert_spans", "open_run"]
