"""One run: config, train, test, a trained model ready to sample, provenance, command line."""
