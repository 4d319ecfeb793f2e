"""Marks a source checkout. The wheel leaves this file out, and with it the right to measure against lab addresses."""
