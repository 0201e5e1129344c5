"""Folders of images -> a first sweep config: which importer, which patients, which settings fit the data, the machine and the time."""
