"""Layered runs: dependencies mocked first, then put back one after the other, and what each added."""

from agentscope_analyzer.layers.compare import compare
from agentscope_analyzer.layers.document import LayersReport
from agentscope_analyzer.layers.sample import Layer, read_layer

__all__ = ["Layer", "LayersReport", "compare", "read_layer"]
