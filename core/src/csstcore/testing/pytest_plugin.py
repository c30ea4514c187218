"""The pytest plugin of csstcore."""
