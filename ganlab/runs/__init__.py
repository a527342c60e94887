"""The folder of a run: who writes it, who reads it, and how a run is continued and compared."""
