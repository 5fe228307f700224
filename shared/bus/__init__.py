"""The bus: NATS JetStream as services see it. Only this package imports `nats`.

Other packages import from here; the modules inside are private.
"""

from shared.bus.bus import Bus, Callback, Subscription
from shared.bus.consumer import Consumer
from shared.bus.errand import Errand, NotAdmitted, knock, run_errand
from shared.bus.errors import BusError
from shared.bus.foreign import Foreign, ForeignKind
from shared.bus.letters import Letter, Letters, resent
from shared.bus.listening import FEW, Listener, Listening, listen
from shared.bus.log_index import LogIndex, Mark, place_of
from shared.bus.publish import MSG_ID
from shared.bus.questions import Answering, answer, ask, questions_asked
from shared.bus.reading import EventReader, StoredEvents

__all__ = [
    "FEW",
    "MSG_ID",
    "Answering",
    "Bus",
    "BusError",
    "Callback",
    "Consumer",
    "Errand",
    "EventReader",
    "Foreign",
    "ForeignKind",
    "Letter",
    "Letters",
    "Listener",
    "Listening",
    "LogIndex",
    "Mark",
    "NotAdmitted",
    "StoredEvents",
    "Subscription",
    "answer",
    "ask",
    "knock",
    "listen",
    "place_of",
    "questions_asked",
    "resent",
    "run_errand",
]
