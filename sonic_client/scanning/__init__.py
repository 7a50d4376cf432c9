"""Many clients on one server: started together, measured in a common window, again for each point of a scan."""
