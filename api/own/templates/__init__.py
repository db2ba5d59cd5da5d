"""The page as HTML (Mako) and its style (`api.own.page.html`)."""
