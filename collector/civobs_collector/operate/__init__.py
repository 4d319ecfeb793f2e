"""What one server needs to be set up, kept and brought back: first settings, backup, restore, upgrade."""
