"""Adapters to whatever answers, one per file, behind `ports.Backend`; the only room that opens upstream connections."""
