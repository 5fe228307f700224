"""The platform as containers: its images, its compose files, and what is needed to try them out anywhere."""
