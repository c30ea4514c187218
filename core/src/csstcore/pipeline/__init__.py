"""Pipelines: stage signatures, the TOML that composes them, and the static check."""
