"""How many clients a server can have: the scaling law, a simulation of queues, and what they need to know of a job."""
