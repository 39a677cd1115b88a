"""A module made into one step for all lanes."""
