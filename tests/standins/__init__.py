"""Containers on a Debian machine that has no engine, or that no registry answers.

`python -m tests.standins run -- COMMAND` runs COMMAND with a Docker engine and the images that compose/ and the
tests name: the engine that is there, or one of its own that is gone afterwards; the images from their registry, or
stand-ins for them, built from the distribution's packages and the wheels in our own environment. Nothing here is
part of the platform, and nothing in the platform knows of it.
"""
