"""Stores of vectors, what makes vectors of texts, and documents; vendors are in integrations/."""
