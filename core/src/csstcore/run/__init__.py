"""Running pipelines: jobs, workers, records, resume."""
