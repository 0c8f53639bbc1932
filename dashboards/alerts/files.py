"""The rule files, as text: what Prometheus loads."""

from __future__ import annotations

from typing import Any, Final

import yaml

from alerts.alert import GROUP
from alerts.recorded import RECORDED
from alerts.watched import ALERTS

RULES_FILE: Final = "agentscope-rules.yml"
ALERTS_FILE: Final = "agentscope-alerts.yml"

_HEAD = "# Made by `make dashboards` from the recorder's vocabulary: change that, not this.\n"


def rule_files() -> dict[str, str]:
    """Every rule file: its name and its text."""
    recorded = [{"record": name, "expr": expr} for name, expr in RECORDED.items()]
    alerts = [rule for alert in ALERTS for rule in alert.rules()]
    return {
        RULES_FILE: _text(f"{GROUP}-recorded", recorded),
        ALERTS_FILE: _text(f"{GROUP}-alerts", alerts),
    }


def _text(group: str, rules: list[dict[str, Any]]) -> str:
    return _HEAD + yaml.safe_dump(
        {"groups": [{"name": group, "rules": rules}]}, sort_keys=False, width=100
    )
