"""DuraGraph, the control plane. Imports nothing, so that a worker can share the pure files."""

__version__ = "0.1.0"
