"""An event store on PostgreSQL: append, read, subscribe, project, rebuild, verify. Knows no contacts."""
