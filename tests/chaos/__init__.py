"""Kill tests: faults on real servers, an oracle, and a planted bug that the same oracle must find in the same run."""
