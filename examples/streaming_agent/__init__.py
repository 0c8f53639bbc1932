"""The smallest agent that streams: one file, one line of agentscope."""
