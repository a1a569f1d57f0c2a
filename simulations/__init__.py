"""Simulated attackers and federations: everything hostile lives here, nothing imports it."""
