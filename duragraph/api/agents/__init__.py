"""Assistants as others call them: tools of the Model Context Protocol, agents of A2A."""
