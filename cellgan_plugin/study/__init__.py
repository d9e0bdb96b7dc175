"""From a folder of labelled images to an answer: a study, every step of it a verb of its own."""
