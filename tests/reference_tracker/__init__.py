"""The tracker of one camera, picture by picture: what `processors.tracking`, which follows many at once, is held to."""
