"""Attacks, for simulations and tests only; no other folder may import them.

label_flip  on the data: train on mirrored labels
scaling     on the update: boost it, up to replacing the model
"""
