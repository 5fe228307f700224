"""The orchestrator: WHAT runs. Pipelines, jobs and their tasks; it decides no place and starts no process."""
