"""Frames on their star, and the star taken away."""
