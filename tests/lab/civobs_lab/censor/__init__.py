"""A censor: rules that say what is interfered with and how, and the box that does it."""
