"""The engine that runs the analysis SQL, and the canonical tables that it holds."""

from agentscope_analyzer.engine.duckdb_engine import Engine
from agentscope_analyzer.engine.schema import TABLES, Column, Table

__all__ = ["TABLES", "Column", "Engine", "Table"]
