"""The attacks themselves, one file each; the engine above judges what they find."""
