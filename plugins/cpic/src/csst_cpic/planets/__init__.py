"""What is left beside the star."""
