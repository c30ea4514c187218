"""From sources and reference stars to a world-coordinate solution."""
