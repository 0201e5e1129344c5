"""Parquet shards of grey images and everything that guards them: manifest, reader, splits, mixing, audit."""
