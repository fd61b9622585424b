"""Everything wsi_ai raises on purpose.

* WsiAiError
  * SlideError          the slide: this slide will not work, the next one may
    * UnknownFormat       no reader opens it
    * NoSpacing           its size on the glass is not known
    * TileUnreadable      one tile could not be decoded
  * ModelError          the model or its manifest: no slide will work
  * PolicyError         the triage policy: no slide will work
  * DeviceError         the accelerator or its library: retry elsewhere or later
    * NoDevice            there is none of the kind here, or nothing that drives it
    * OutOfDeviceMemory   fewer tiles at once may fit
  * OutputError         results could not be written
    * Busy                another run is at work on the same slide
  * Stopped             the user ended the run; what was inferred is kept

A message says what was found and what would do.  It names no slide and no case: whoever shows it
knows which slide it was about, and a flag that carries it may leave the site.
"""


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


class ModelError(WsiAiError):
    """The model cannot be used as it is."""


class PolicyError(WsiAiError):
    """The triage policy cannot be used as it is."""


class DeviceError(WsiAiError):
    """The device, or the library that drives it, is not there or failed."""


class NoDevice(DeviceError):
    """There is no such device here, or nothing installed that drives it."""


class OutOfDeviceMemory(DeviceError):
    """The device's memory was not enough; fewer tiles at once may fit."""


class OutputError(WsiAiError):
    """A result could not be written."""


class Busy(OutputError):
    """Another process is at work on the same slide with the same model."""


class Stopped(WsiAiError):
    """The run was ended from outside."""
