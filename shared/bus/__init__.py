"""The bus: NATS JetStream as services see it. Only this package imports `nats`.

Other packages import from here; the modules inside are private.
"""

from shared.bus.bus import Bus, Callback, Subscription
from shared.bus.consumer import Consumer
from shared.bus.errors import BusError
from shared.bus.letters import Letter, Letters, members, resent
from shared.bus.publish import MSG_ID
from shared.bus.questions import Answering, answer, ask, questions_asked

__all__ = [
    "MSG_ID",
    "Answering",
    "Bus",
    "BusError",
    "Callback",
    "Consumer",
    "Letter",
    "Letters",
    "Subscription",
    "answer",
    "ask",
    "members",
    "questions_asked",
    "resent",
]
