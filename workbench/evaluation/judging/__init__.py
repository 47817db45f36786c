"""Judging: what a judge is asked about an answer, and the rating it gives."""
