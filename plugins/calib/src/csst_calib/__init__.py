"""Detector effects: references made and applied, cosmic rays."""
