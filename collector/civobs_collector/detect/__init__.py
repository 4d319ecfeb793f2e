"""Detection: pure functions of what is stored. No input or output, no clock."""
