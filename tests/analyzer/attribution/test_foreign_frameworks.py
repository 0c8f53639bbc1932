"""Agent frameworks as OpenInference, OpenLLMetry and LangSmith record them. Times are milliseconds."""

from __future__ import annotations


def test_a_langchain_agent_is_divided_as_any_other(tell, span):
    """Chains and graph nodes are the service's own code; retrievers load context; tools are tools."""
    story = tell(
        span("server", "", 0, 100, kind="SERVER"),
        span("graph", "server", 0, 100),
        span("retriever", "graph", 5, 30, operation="retrieval"),
        span("embed", "retriever", 10, 20, operation="embeddings", model="e"),
        span("node", "graph", 30, 70),
        span("ChatOpenAI", "node", 35, 70, operation="chat", model="m"),
        span("openai.chat", "ChatOpenAI", 36, 69, operation="chat", model="m"),
        span("lookup", "graph", 70, 95, operation="execute_tool"),
        span("select", "lookup", 75, 90, db_system="postgresql"),
    )
    assert story.turns == ["server"]
    assert story.sections == [
        ("graph", "unattributed", 0, 5),
        ("retriever", "context.load", 5, 10),
        ("embed", "llm.first_token", 10, 20),
        ("retriever", "context.load", 20, 30),
        ("node", "unattributed", 30, 35),
        ("ChatOpenAI", "unattributed", 35, 36),
        ("openai.chat", "llm.first_token", 36, 69),
        ("ChatOpenAI", "unattributed", 69, 70),
        ("lookup", "tool.execution", 70, 75),
        ("select", "db.query", 75, 90),
        ("lookup", "tool.execution", 90, 95),
        ("graph", "unattributed", 95, 100),
    ]


def test_a_template_that_calls_itself_a_chat_is_no_call_of_a_model(tell, span):
    """LangSmith's exporter says so of prompts; they take no time of a model's."""
    story = tell(
        span("server", "", 0, 100, kind="SERVER"),
        span("template", "server", 0, 10, operation="prompt"),
        span("chat", "server", 10, 100, operation="chat", model="m"),
    )
    assert story.sections == [
        ("template", "unattributed", 0, 10),
        ("chat", "llm.first_token", 10, 100),
    ]


def test_a_vector_store_that_is_called_as_a_database_stays_one(tell, span):
    """The conventions' ``retrieval`` span of a client that also names its database."""
    story = tell(
        span("turn", "", 0, 50, is_turn=True),
        span("search", "turn", 0, 50, operation="retrieval", db_system="qdrant"),
    )
    assert story.sections == [("search", "db.query", 0, 50)]
