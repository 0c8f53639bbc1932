"""A customer-support agent: the example that agentscope is shown on."""
