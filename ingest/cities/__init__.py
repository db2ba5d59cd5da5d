"""Cities: their clock, their place, their districts and which of these are neighbours."""

from ingest.cities.city import City, CityFileError, District, PopulationQuality, load_city, shipped_cities

__all__ = ["City", "CityFileError", "District", "PopulationQuality", "load_city", "shipped_cities"]
