"""Reads a run directory after the load run and says, with proof, what bound it."""
