"""How well hostile clients are found: ``evaluate`` runs a grid and measures, ``page`` tells."""
