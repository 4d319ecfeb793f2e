"""Evidence: the bytes as they came, kept so that a stranger can check what was concluded from them."""
