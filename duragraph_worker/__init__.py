"""Graphs as Python classes: write, test and run them here, or serve them to a control plane."""
