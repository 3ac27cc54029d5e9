"""Smart search: the filter language, from JSON to typed nodes, to SQL, to an explanation. See README.md."""
