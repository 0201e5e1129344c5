"""What every room needs and nothing more: errors with a cure, named seeds, content hashes, atomic writes."""
