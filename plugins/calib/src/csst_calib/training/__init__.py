"""Training of the cosmic-ray network on simulated patches; needs the extra ``[train]``.

No stage imports this package. Its patch generator is independent of the simulator plugin: a
network trained here and judged there has not seen the simulator's physics. Retrain with

    python -m csst_calib.training --output cosmic_rays.onnx
"""
