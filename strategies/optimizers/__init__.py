"""How the server turns an aggregate into a step of the model; one rule per file, its SPEC last."""
