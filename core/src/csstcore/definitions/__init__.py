"""Data definitions: what a kind of file looks like, read and written by that description."""
