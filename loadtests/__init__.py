"""Load tests over the public contract, against any server: `make load`, docs/load-testing.md."""
