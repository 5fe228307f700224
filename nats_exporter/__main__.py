"""`python -m nats_exporter`."""

from nats_exporter.app import build
from nats_exporter.settings import NatsExporterSettings
from shared.service import main

if __name__ == "__main__":
    main(NatsExporterSettings, build)
