"""One file a vendor. Each imports its vendor's SDK, and is imported when first needed."""
