"""Background, detection, photometry and position for any imager."""
