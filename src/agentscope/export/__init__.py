"""Ways out of the process; each module is imported only when it is asked for."""
