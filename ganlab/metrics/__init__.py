"""Features -> statistics -> number: pure functions, with distributed metrics and a cache around them."""
