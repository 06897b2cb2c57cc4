"""``redaes data``: datasets built, shown, checked and exported; a file for each command."""
