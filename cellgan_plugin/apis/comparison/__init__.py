"""What :mod:`cellgan_plugin.apis.compare` is made of: the plan, its parts, judging, the report."""
