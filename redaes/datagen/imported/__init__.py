"""Other people's judgements as a RED dataset: who preferred which picture, from files that already exist."""
