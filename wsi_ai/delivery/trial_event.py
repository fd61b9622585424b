"""An event to try a connection with, that nobody can take for a flag.  Pure."""

import json
import uuid
from datetime import datetime

from wsi_ai.core.timing import timestamp
from wsi_ai.delivery.events import SOURCE
from wsi_ai.delivery.messages import Pulse

TYPE = "org.wsi_ai.test.v1"
NOTE = "A test of the connection. This is no flag: it is about no slide and no patient."


def trial_event(event_id: uuid.UUID, at: datetime) -> Pulse:
    """A CloudEvent of its own type, in which no field of a flag is: no id, no level, no case."""
    name = f"evt_{event_id.hex}"
    event = {
        "specversion": "1.0",
        "id": name,
        "source": SOURCE,
        "type": TYPE,
        "time": timestamp(at),
        "datacontenttype": "application/json",
        "data": {"test": True, "note": NOTE},
    }
    return Pulse(name, json.dumps(event, separators=(",", ":")).encode())
