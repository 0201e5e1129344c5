"""Is everything there that a sweep needs: machine, cluster, storage, data, weights."""
