"""Who gives the answers that a benchmark asks for."""
