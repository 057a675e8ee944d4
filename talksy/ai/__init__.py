"""Vendors behind small contracts."""
