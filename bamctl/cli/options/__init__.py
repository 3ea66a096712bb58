"""Groups of options; a command takes a group as one parameter."""
