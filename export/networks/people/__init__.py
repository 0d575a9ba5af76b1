"""Learned networks that know people; their weights ship with the project."""
