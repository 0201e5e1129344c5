"""How a sweep config names attacks that are no row of the table; free of torch, so that a sweep config is checked without loading it."""

TRANSFER = "transfer:"  # a threat from another trial's model: transfer:RUN/SIGNATURE
