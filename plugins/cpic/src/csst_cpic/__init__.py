"""Coronagraph frames, calibration and planets of CPIC."""
