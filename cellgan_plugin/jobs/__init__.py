"""Many runs as one: jobs with dependencies, on this machine or through Slurm."""
