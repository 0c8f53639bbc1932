"""What a load run needs beside the service: a mock LLM, load, a database, scenarios."""
