"""``redaes taste``: one person's preferences, asked for and learned; a file for each command."""
