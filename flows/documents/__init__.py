"""The documents that a risk officer signs, made for each version from its evidence, in Portuguese and English."""
