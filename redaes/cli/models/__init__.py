"""``redaes models``: what can be done with files of weights; a file for each command."""
