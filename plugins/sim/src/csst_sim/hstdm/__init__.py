"""Simulated terahertz spectra: a heterodyne receiver in a low orbit."""
