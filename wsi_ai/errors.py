"""Everything wsi_ai raises on purpose.

* WsiAiError
  * SlideError          the slide: this slide will not work, the next one may
    * UnknownFormat       no reader opens it
    * NoSpacing           its size on the glass is not known
    * TileUnreadable      one tile could not be decoded
    * IdentityInDoubt     what is known of whose slide it is does not agree
      * IdentityShared      another slide has the same identity
    * ScaleContradicted   the file's µm/px is another one than was given
    * SlideChanged        its bytes changed while they were read
    * ShareTooSlow        the disk or the share does not give its bytes in time
    * TransportError      a store of objects, or the way to it, does not give its bytes
      * StagingFull         the disk for copies of slides has no room for it
    * StainUnclear        its colours cannot be made those that the model asks for
  * ModelError          the model or its manifest: no slide will work
  * InputError          what was named to be run is not there, or cannot be told
  * PolicyError         the triage policy: no slide will work
  * DeviceError         the accelerator or its library: retry elsewhere or later
    * NoDevice            there is none of the kind here, or nothing that drives it
    * OutOfDeviceMemory   fewer tiles at once may fit
  * ResultError         results that are there cannot be read
  * OutputError         results could not be written
    * Busy                another run is at work on the same slide
    * Unsent              results were written, and their flag could not be kept for sending
  * HeldBack            a flag was not put: it would take back what a receiver has
  * TrialError          a trial's protocol, signature or record does not hold
  * SinkError           the settings of a sink: no flag can be sent through it
  * DeliveryError       a flag was not accepted this time, and what to do about it
    * TryAgain            the same flag may be accepted later
    * Paused              nothing will be accepted until something is put right at the endpoint
    * Refused             this flag will never be accepted as it is
    * Conflict            the receiver holds another answer: it is to be put anew, or dropped
  * Stopped             the user ended the run; what was inferred is kept

A message says what was found and what would do.  It names no slide and no case: whoever shows it
knows which slide it was about, and a flag that carries it may leave the site.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class WsiAiError(Exception):
    """Base of the tree."""


class SlideError(WsiAiError):
    """This slide cannot be analysed; others may."""


class UnknownFormat(SlideError):
    """Not a slide that this reader opens."""


class NoSpacing(SlideError):
    """The file does not say how many micrometres a pixel is."""


class TileUnreadable(SlideError):
    """One tile could not be decoded."""


class IdentityInDoubt(SlideError):
    """The sources of the slide's identity contradict one another."""


class IdentityShared(IdentityInDoubt):
    """Two slides with different bytes have one identity."""


class ScaleContradicted(SlideError):
    """What was given as µm/px is not what the file says."""


class SlideChanged(SlideError):
    """The file was written to while it was read."""


class ShareTooSlow(SlideError):
    """It says nothing of the slide: its bytes do not come in time."""


class TransportError(SlideError):
    """It says nothing of the slide, and nothing of a tile: the store or the network failed."""


class StagingFull(TransportError):
    """The slide does not fit onto the disk that slides are copied to."""


class StainUnclear(SlideError):
    """Too little of the slide is stained to say how."""


class ModelError(WsiAiError):
    """The model cannot be used as it is."""


class InputError(WsiAiError):
    """What was named to be run is not there or not as it should be; names what was named."""


class TrialError(WsiAiError):
    """A trial's protocol, signature, key or record is not what it should be; says which and what
    would do."""


class PolicyError(WsiAiError):
    """The triage policy cannot be used as it is."""


class DeviceError(WsiAiError):
    """The device, or the library that drives it, is not there or failed."""


class NoDevice(DeviceError):
    """There is no such device here, or nothing installed that drives it."""


class OutOfDeviceMemory(DeviceError):
    """The device's memory was not enough; fewer tiles at once may fit."""


class ResultError(WsiAiError):
    """Results cannot be read as they are."""


class OutputError(WsiAiError):
    """A result could not be written."""


class Busy(OutputError):
    """Another process is at work on the same slide with the same model."""


class Unsent(OutputError):
    """The results are there; their flag could not be kept for sending."""


class HeldBack(WsiAiError):
    """The flag is not put for sending, unless that is wanted."""


class SinkError(WsiAiError):
    """A sink cannot be used as it is set up."""


class DeliveryError(WsiAiError):
    """A flag was not accepted; ``code`` is the receiver's own, where it gave one."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class TryAgain(DeliveryError):
    """Send the same flag again, not before ``after_s`` seconds where the receiver said so."""

    def __init__(self, message: str, code: int | None = None, after_s: float | None = None) -> None:
        super().__init__(message, code)
        self.after_s = after_s


class Paused(DeliveryError):
    """The endpoint takes nothing until someone puts it right; the flag keeps its place."""


class Refused(DeliveryError):
    """The receiver will not take this flag however often it is sent."""


class Conflict(DeliveryError):
    """The receiver holds another answer to the same question, and says which."""

    def __init__(self, message: str, code: int | None, held: object) -> None:
        super().__init__(message, code)
        self.held = held


class Stopped(WsiAiError):
    """The run was ended from outside."""


@contextmanager
def disk_errors() -> Iterator[None]:
    """The disk refuses: OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"results cannot be written: {error.strerror or error}") from None


def first_line(error: Exception) -> str:
    """Of what a library has to say."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
