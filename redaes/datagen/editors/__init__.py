"""The editors that make one picture from another."""
