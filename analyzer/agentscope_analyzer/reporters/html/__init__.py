"""The report as one HTML file: pictures and figures, readable from a disk and without a script."""

from agentscope_analyzer.reporters.html.page import render, write

__all__ = ["render", "write"]
