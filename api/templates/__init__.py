"""The page as HTML (Mako) and its style (`api.page.html`)."""
