"""Making a bare machine a gateway: the console on its serial port, and what it is given there."""
