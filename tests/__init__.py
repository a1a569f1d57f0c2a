"""The tests: laws of every rule, naive twins, units, packaging, documents, end to end."""
