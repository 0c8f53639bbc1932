"""Pictures of the boards for the README: a developer's tool, not shipped."""
