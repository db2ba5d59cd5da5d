"""A city's meters, containers, premises and collection rounds that nobody has, right and wrong on purpose."""
