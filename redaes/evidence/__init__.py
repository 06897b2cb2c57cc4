"""Evidence: what can be measured in one photograph and in two of one scene, and claims held against it."""
