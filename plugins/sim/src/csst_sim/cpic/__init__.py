"""Simulated coronagraph frames: a star behind an apodised pupil on an EMCCD."""
