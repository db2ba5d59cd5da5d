"""Agreements: what two cities have signed that each gives the other, and until when."""
