"""LangGraph graphs, run unchanged. The only part that imports LangGraph, an extra."""
