"""Addresses that nobody may send to: the e-mail blacklist of the installation, the phone blacklist of a workspace."""
