"""Evaluation: the detectors run on a file, and what they find held against what is known to have happened."""
