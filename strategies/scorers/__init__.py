"""Signals about each client's update in one round; one signal per file, its SPEC last."""
