"""What files of the CSST survey camera look like, and its detectors."""
