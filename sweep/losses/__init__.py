"""Losses on textures and labels; plain PyTorch, each usable alone."""
