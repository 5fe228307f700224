"""The bus: NATS JetStream as services see it. Only this package imports `nats`.

Other packages import from here; the modules inside are private.
"""

from shared.bus.bus import Bus, Callback, Subscription
from shared.bus.consumer import Consumer
from shared.bus.errors import BusError
from shared.bus.letters import Letter, Letters, resent
from shared.bus.listening import FEW, Listener, Listening, listen
from shared.bus.publish import MSG_ID
from shared.bus.questions import Answering, answer, ask, questions_asked

__all__ = [
    "FEW",
    "MSG_ID",
    "Answering",
    "Bus",
    "BusError",
    "Callback",
    "Consumer",
    "Letter",
    "Letters",
    "Listener",
    "Listening",
    "Subscription",
    "answer",
    "ask",
    "listen",
    "questions_asked",
    "resent",
]
