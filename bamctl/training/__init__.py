"""Short training runs of a network without and with attention, made to be compared."""
