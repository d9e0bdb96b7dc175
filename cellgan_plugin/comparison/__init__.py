"""What :mod:`cellgan_plugin.comparison.compare` is made of: the plan, its parts, judging, the report."""
