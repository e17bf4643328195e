"""Probing endpoints."""
