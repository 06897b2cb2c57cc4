"""``--dry_run``: what a run would need of memory and time, taken from a step with tensors that hold no numbers."""
