"""Runs with no server at all, on threads of their own."""
