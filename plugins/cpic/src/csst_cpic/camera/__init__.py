"""Frames of the camera before they are electrons of a pixel."""
