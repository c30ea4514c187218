"""What the pixels around a source say of it."""
