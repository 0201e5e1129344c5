"""From the records of a sweep to a ranking with intervals, tables and one offline page; knows sweep/ by its records only."""
