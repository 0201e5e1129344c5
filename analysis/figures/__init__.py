"""Figures: for each, the facts as a dataclass, then the drawing of nothing but those facts as SVG."""
