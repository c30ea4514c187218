"""Finding plugins, checking them, and everything they declare."""
