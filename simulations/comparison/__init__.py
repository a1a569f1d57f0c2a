"""The comparison: a grid of scenarios, run once each, and what follows from their results.

plan      a grid file to runs, each with the hash of all that determines it
folder    the results on disk: claimed, written whole, found again
pool      processes of this machine that work through the runs; worker is one of them, work
          what it does
cluster   the same on a Ray cluster
results   a run and what became of it, as a tidy row
summary   cells over seeds with intervals; questions and ranking, what is asked of them
figures   the pictures for a paper
report    the page for people; header, answers, cards, tables and charts are its parts
published tables of a paper, beside which reproduction puts ours
"""
