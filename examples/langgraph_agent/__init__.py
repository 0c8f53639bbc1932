"""A travel desk built with LangGraph: how agentscope records a graph that nobody decorated."""
