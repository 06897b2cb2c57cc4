"""Make a RED dataset of other people's judgements, from existing files that say who preferred which picture."""
