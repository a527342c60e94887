"""What keeps D within a set of functions: one paper, one file."""
