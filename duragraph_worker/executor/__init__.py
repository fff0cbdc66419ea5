"""Runs a plan: supersteps, channels, interrupts, frames. The same locally and on a worker."""
