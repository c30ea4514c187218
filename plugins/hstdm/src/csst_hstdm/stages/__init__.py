"""Steps of the science."""
