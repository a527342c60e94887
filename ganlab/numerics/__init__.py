"""How numbers are computed: in which precision, whether the same each time, over which ranks."""
