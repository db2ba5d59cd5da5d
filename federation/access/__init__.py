"""Access to the partner API: assertions, tokens, limits, and the audit of what was given."""
