"""Gene regulatory networks: ranked edges and the result of a fit."""
