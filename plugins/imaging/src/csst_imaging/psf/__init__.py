"""The point-spread function: its model, and fits of it to sources."""
