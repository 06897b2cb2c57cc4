"""``--dry_run``: estimate the memory and time of a run from one step with fake tensors, which have shapes but no
data.
"""
