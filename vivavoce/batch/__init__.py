"""Batch synthesis: a table of texts → speech and a manifest, on one machine or a Ray cluster.

Read in this order: tables (the input), rows (one text), places (local folders and object stores), outputs (files,
shards, Parquet), worker (one block of rows), run (`vivavoce batch`).
"""
