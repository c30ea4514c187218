"""Example: position-switched spectra of the Green Bank Telescope."""
