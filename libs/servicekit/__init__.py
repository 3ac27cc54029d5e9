"""What every service needs and no domain: settings, logs, metrics, connections, an orderly start and stop."""
