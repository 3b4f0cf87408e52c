"""Recipes and profiles: the tables, their reader and their schema."""
