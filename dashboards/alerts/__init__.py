"""Alerts and recording rules: the thresholds of the boards, watched when nobody looks."""
