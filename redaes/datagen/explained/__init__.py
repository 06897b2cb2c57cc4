"""Write reasoning for pairs of a dataset that have none, such as people's judgements."""
