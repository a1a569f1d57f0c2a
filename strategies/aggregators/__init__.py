"""Rules that turn the n updates of a round into one; one paper per file, its SPEC last."""
