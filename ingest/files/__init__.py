"""Files as sources: a module for each format, and one import for all of them."""
