"""The stages of csst-imaging: one module for each step."""
