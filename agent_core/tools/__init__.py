"""Tools the client runs: the contract, functions as tools, shell, patches and files."""
