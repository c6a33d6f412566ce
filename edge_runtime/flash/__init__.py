"""`catchment-flash`: what an engineer does with bare gateways and boards from a machine of their own."""
