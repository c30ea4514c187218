"""Particles that hit one frame of a series."""
