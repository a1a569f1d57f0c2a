"""Steps that change the matrix before the aggregator sees it; one paper per file."""
