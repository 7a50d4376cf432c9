"""FACILE: the energy of each channel of the CMS hadron calorimeter, by a network of 2,111 parameters."""
