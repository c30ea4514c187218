"""How cosmic rays are found: tiles, normalisation, the network and L.A.Cosmic."""
