"""From counts to magnitudes, by reference stars."""
