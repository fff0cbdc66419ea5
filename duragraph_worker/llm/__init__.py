"""Models, tools and replies of a type. Knows no graph; vendors are in `integrations/`."""
