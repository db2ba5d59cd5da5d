"""Simulated meters, containers, premises and collection rounds of a city, with faults on purpose."""
