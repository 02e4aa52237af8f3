"""edgec."""
