"""Views, API and the process that serves them."""
