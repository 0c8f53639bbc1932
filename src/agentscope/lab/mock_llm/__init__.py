"""A mock LLM that speaks OpenAI's, Anthropic's, Google's and Amazon's protocols, quotas included.

``serve(MockLlmSettings(rpm=60))`` blocks, as ``agentscope mock-llm`` does; ``with running(…) as
server`` starts one beside a test. What a conversation gets is a function of the seed and of the
conversation alone, so a run can be repeated.
"""

from agentscope.lab.mock_llm.app import MockLlmApp
from agentscope.lab.mock_llm.server import RunningMockLlm, running, serve
from agentscope.lab.mock_llm.settings import MockLlmSettings

__all__ = ["MockLlmApp", "MockLlmSettings", "RunningMockLlm", "running", "serve"]
