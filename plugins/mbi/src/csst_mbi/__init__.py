"""Multi-band imaging with the CSST survey camera: Level 0 to Level 1."""
