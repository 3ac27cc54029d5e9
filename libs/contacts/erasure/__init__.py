"""Erasure: personal data made unrecoverable for good, and the certificate that says so."""
