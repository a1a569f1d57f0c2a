"""Attacks, for simulations and tests only; no other folder may import them.

One attack per file, on data or on the update, listed in ``registry``; ``spec`` says what an
attack sees and returns, ``attack`` reads ``"label_flip | scaling(factor=6)"``.
"""
