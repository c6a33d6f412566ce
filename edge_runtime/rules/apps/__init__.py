"""An app: from its package to what runs, its settings and its recorded tests."""
