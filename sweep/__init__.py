"""The recipe finder's folders and commands.

The public Python API is `recipe_finder`: here `run`, `replay` and `audit` are modules, so functions of these names need another place.
"""
