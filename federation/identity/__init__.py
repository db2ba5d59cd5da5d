"""A city's identity: its long-term key, the document that this key signs, and the online keys named there."""
