"""csstcore: plugins, data definitions and pipelines for the CSST back-ends."""

__version__ = "0.1.0"
