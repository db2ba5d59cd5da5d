"""PostgreSQL: migrations and queries. The only room that speaks SQL."""
