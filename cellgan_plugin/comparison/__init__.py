"""Generators side by side: the plan, its parts, their evaluation, the report."""
