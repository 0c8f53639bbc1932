"""What the process itself is doing: sampled off the request path."""
