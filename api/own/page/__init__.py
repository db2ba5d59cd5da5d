"""The page of a city at `/`: what it shows, in three languages, as HTML without scripts."""
