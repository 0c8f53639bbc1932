"""The simulated service is imported from beside its tests."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
