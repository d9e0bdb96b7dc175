"""Images of trained generators: class folders, tissue from masks, interpolations, attention."""
