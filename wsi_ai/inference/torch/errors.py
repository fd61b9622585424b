"""What PyTorch raises about files, and what a person is told of those that could run code."""

import pickle
import zipfile

MEANS = (
    "loading it runs whatever code its author put in; give --trust-pickle if you trust whoever made"
    " it, or have the network exported as ONNX or safetensors"
)
BROKEN = (
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)
"""What PyTorch raises about a file that is damaged, or none of its own."""
