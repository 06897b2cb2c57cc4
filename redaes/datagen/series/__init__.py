"""Labelled series for FGAesQ: from bursts, pictures of one prompt, and crops to votes, orders and texts."""
