"""Galaxy models: Sersic profiles made of Gaussians, seen through the PSF, fitted to pixels."""
