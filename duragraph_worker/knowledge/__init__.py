"""Graphs of what is known: what is asked of every store, and what goes in and comes out."""
