"""Stages of the simulation, in the order of the physics."""
