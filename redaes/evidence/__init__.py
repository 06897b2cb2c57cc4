"""Evidence: measurements of one photograph and of two of one scene, and claims checked against them."""
