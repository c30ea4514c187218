"""The stages of csst-calib, one module per detector effect."""
