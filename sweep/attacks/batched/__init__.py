"""All threats of one kind and all epsilons as one batch of (image, threat, epsilon) pairs, in steps of fixed shape: the way of a GPU."""
