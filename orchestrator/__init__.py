"""The orchestrator decides what runs: pipelines, jobs and their tasks. It does not choose workers or start
processes."""
