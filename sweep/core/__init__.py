"""What every room needs and nothing more: errors with a fix, named seeds, content hashes, atomic writes."""
