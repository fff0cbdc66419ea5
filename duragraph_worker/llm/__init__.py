"""What LLM and tool nodes do: models, tools, replies of a type. Vendors are in `integrations/`."""
