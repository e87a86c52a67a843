"""Lines and curves through points, and the ways to descend to them."""
