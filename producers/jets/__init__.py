"""Jet energy regression: the generator-level pT of each reconstructed jet, by a small network."""
