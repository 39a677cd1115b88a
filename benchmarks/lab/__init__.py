"""The lab in a browser: how long a first page and a moved slider take, and what is left after many moves."""
