"""Example: images of the Calar Alto camera CAFOS, reduced with the shared stages."""
