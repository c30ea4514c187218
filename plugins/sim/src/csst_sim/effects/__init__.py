"""What a detector does to light and charge, one effect a module."""
