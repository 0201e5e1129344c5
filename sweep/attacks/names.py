"""How a question names attacks that are no row of the table; free of torch, so that a question is checked without loading it."""

TRANSFER = "transfer:"  # a threat from another trial's model: transfer:RUN/SIGNATURE
