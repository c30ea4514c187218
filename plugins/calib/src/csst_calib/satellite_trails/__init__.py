"""Trails of satellites: found as lines in a binned frame, refined and masked pixel by pixel."""
