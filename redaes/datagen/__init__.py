"""Making training pairs: sources, edits, filters, judges, rationales."""
