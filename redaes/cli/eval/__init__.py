"""``redaes eval``: assessors over benchmarks, and what their answers are worth; a file for each command."""
