"""Heatmap → flag: gates, rules, findings, policy.  Pure."""
