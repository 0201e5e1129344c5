"""A trained model outside of its run: the export folder, its decision threshold, and predictions on new images."""
