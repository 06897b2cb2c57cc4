"""One person's taste: which pictures to ask about, and an adapter that learns from the answers."""
