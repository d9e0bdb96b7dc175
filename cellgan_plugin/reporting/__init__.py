"""One page about several folders: what a study, or a person, puts together."""
