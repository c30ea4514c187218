"""Terahertz spectra and maps of the HSTDM receiver."""
