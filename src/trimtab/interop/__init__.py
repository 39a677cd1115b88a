"""Other packages' training loops and loggers; each file imports its package, and is imported only if used."""
