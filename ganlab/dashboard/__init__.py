"""The page that compares runs: a server for this machine alone, and the same page as one file."""
