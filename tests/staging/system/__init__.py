"""A small staging system: a shop, its stock, a front, a deployer and alerting. See README.md."""
