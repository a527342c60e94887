"""Run folders as a reader sees them: nothing is trusted, nothing is read twice, nothing is written into them."""
