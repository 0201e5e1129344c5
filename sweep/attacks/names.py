"""Names of attacks that are not rows of the table; imports no torch, so that a sweep config can be checked without it."""

TRANSFER = "transfer:"  # a threat from another trial's model: transfer:RUN/SIGNATURE
