"""Simulated scenes and detectors with known truth."""
