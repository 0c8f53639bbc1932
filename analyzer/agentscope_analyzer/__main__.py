"""``python -m agentscope_analyzer`` is the command ``agentscope``."""

import sys

from agentscope_analyzer.commands import main

sys.exit(main())
