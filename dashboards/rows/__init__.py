"""Rows of panels, one a module; boards put them together."""
