"""Sources from the pixels of an image."""
