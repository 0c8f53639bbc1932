"""One module an output; every one of them prints the same report object."""
