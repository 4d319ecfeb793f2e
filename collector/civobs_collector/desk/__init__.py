"""The observatory's desk: what its staff decide, and how they are let in."""
