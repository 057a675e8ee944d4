"""Several nodes behind a balancer, as they run in earnest: `make fleet`."""
