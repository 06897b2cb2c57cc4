"""``redaes train``: the stages, the embedded model's warm-ups, what checks and merges their results."""
