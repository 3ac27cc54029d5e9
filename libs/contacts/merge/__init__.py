"""Merge and unmerge: several contacts shown as one profile, and taken apart again without loss."""
